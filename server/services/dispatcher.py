"""Hands waiting units to workers in fair order, and says truthfully how long the rest waits."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from server.domain.errors import AppError, GenerationFailedError, WorkerDiedError
from server.domain.jobs import Job, JobState
from server.domain.rates import Rates
from server.services.active import ActiveJob, ActiveJobs
from server.services.fairness import FairQueue, Unit, unit
from server.services.runner import Drawer, Runner
from server.services.window import has_room

log = structlog.get_logger(__name__)

_TICK_SECONDS = 1.0
_FORECAST_SECONDS = 0.1


class Worker(Drawer, Protocol):
    """What the dispatcher asks of a worker."""

    @property
    def is_ready(self) -> bool: ...  # noqa: D102

    @property
    def loaded_models(self) -> tuple[str, ...]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a job can expect: its place among waiting jobs (1 is next), seconds until it ends."""

    place: int | None
    eta_seconds: float | None


class Dispatcher:
    """The only one who decides fairness between owners."""

    def __init__(
        self, workers: Sequence[Worker], active: ActiveJobs, runner: Runner, rates: Rates
    ) -> None:
        self._workers = workers
        self._active = active
        self._runner = runner
        self._rates = rates
        self._queue = FairQueue()
        self._in_flight: dict[str, list[Unit]] = {worker.id: [] for worker in workers}
        self._wake = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._forecast: tuple[float, dict[str, Outlook]] | None = None

    def start(self) -> None:
        """Begin handing out work."""
        self._loop_task = asyncio.create_task(self._loop(), name="dispatcher")

    async def stop(self) -> None:
        """Stop; units in flight are cancelled and their jobs stay unfinished rows."""
        if self._loop_task is not None:
            self._loop_task.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *filter(None, [self._loop_task]), return_exceptions=True)

    def wake(self) -> None:
        """Look again: a worker is ready or a unit came."""
        self._wake.set()

    def push(self, active: ActiveJob) -> None:
        """Let all missing pictures of a job wait for their turn."""
        for index in active.missing():
            self._queue.push(_unit(active.job, index, active.flops_per_picture))
        self._forecast = None
        self.wake()

    async def cancel(self, active: ActiveJob, state: JobState, error: AppError | None) -> None:
        """End a job before its time, wherever it is."""
        self._queue.discard(active.job.id)
        self._forecast = None
        await self._runner.finish(active, state, error)

    def outlook(self, job_id: str) -> Outlook:
        """Return place and time left of an unfinished job."""
        return self._outlooks().get(job_id, Outlook(None, None))

    def outlook_of_new(self, job: Job) -> tuple[int, float | None]:
        """Return the place a job would take now, and seconds until its first step."""
        queue = FairQueue()
        for waiting in self._queue.order():
            queue.push(waiting)
        per_picture = job.flops / job.resolved.num_images
        queue.push(_unit(job, 0, per_picture))
        ahead: list[Unit] = []
        for waiting in queue.order():
            if waiting.job_id == job.id:
                break
            ahead.append(waiting)
        seconds = self._seconds([*self._flying(), *ahead])
        return 1 + len({u.job_id for u in ahead}), seconds

    def waiting(self) -> int:
        """Return how many units wait."""
        return len(self._queue)

    def in_flight(self, worker_id: str) -> int:
        """Return how many units a worker holds."""
        return len(self._in_flight[worker_id])

    async def _loop(self) -> None:
        while True:
            self._hand_out()
            # The tick is for what nobody announces, such as a disk that has room again.
            try:
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    def _hand_out(self) -> None:
        while self._runner.storage_problem is None:
            emptying: set[str] = set()
            due = self._queue.pop(functools.partial(self._fits, emptying))
            if due is None:
                return
            active = self._active.get(due.job_id)
            if active is not None and due.index not in active.stored:
                self._launch(due, active, self._best(self._free_for(due, emptying), due))

    def _fits(self, emptying: set[str], due: Unit) -> bool:
        """Return whether a worker may take `due` now.

        The first suspect that none may take has the least busy one to itself as soon as that is
        empty: it goes to `emptying`, so that whoever comes later in the order does not pass there.
        """
        if self._free_for(due, emptying):
            return True
        ready = [worker for worker in self._workers if worker.is_ready]
        if ready and not emptying and self._is_suspect(due):
            emptying.add(min(ready, key=self._work_of).id)
        return False

    def _free_for(self, due: Unit, emptying: set[str]) -> list[Worker]:
        return [
            worker
            for worker in self._workers
            if worker.is_ready
            and worker.id not in emptying
            and has_room(self._in_flight[worker.id], due, self._is_suspect)
        ]

    def _is_suspect(self, held: Unit) -> bool:
        active = self._active.get(held.job_id)
        return active is not None and active.job.deaths > 0

    def _best(self, free: Sequence[Worker], due: Unit) -> Worker:
        return min(free, key=lambda w: (due.model not in w.loaded_models, self._work_of(w)))

    def _work_of(self, worker: Worker) -> float:
        return sum(held.flops for held in self._in_flight[worker.id])

    def _launch(self, due: Unit, active: ActiveJob, worker: Worker) -> None:
        self._in_flight[worker.id].append(due)
        task = asyncio.create_task(self._run(due, active, worker), name=f"draw {due.job_id}")
        for held in (self._tasks, active.tasks):
            held.add(task)
            task.add_done_callback(held.discard)

    async def _run(self, due: Unit, active: ActiveJob, worker: Worker) -> None:
        try:
            await self._runner.draw(active, due.index, worker)
        except WorkerDiedError as error:
            if await self._runner.died(active, due.index, error):
                self._queue.push(due)
        except AppError as error:
            await self._runner.finish(active, JobState.FAILED, error)
        except Exception:
            log.exception("job.broke", job_id=due.job_id)
            await self._runner.finish(
                active,
                JobState.FAILED,
                GenerationFailedError("an unexpected error; the server's log has the details"),
            )
        finally:
            self._in_flight[worker.id].remove(due)
            self._forecast = None
            self.wake()

    def _flying(self) -> list[Unit]:
        return [held for units in self._in_flight.values() for held in units]

    def _outlooks(self) -> dict[str, Outlook]:
        now = time.monotonic()
        if self._forecast is None or now - self._forecast[0] > _FORECAST_SECONDS:
            self._forecast = (now, self._look_ahead())
        return self._forecast[1]

    def _look_ahead(self) -> dict[str, Outlook]:
        places: dict[str, int] = {}
        ends: dict[str, float | None] = {}
        flying = self._flying()
        running = {u.job_id for u in flying}
        total: float | None = 0.0
        for due in (*flying, *self._queue.order()):
            seconds = self._seconds([due])
            total = None if total is None or seconds is None else total + seconds
            ends[due.job_id] = total
            if due.job_id not in running:
                places.setdefault(due.job_id, len(places) + 1)
        return {job_id: Outlook(places.get(job_id), end) for job_id, end in ends.items()}

    def _seconds(self, units: Sequence[Unit]) -> float | None:
        """Seconds until all `units` are drawn by the workers there are; None: not measured."""
        total = 0.0
        for due in units:
            active = self._active.get(due.job_id)
            left = 1.0 if active is None else 1 - active.done(due.index)
            seconds = self._rates.seconds(due.model, due.flops * left)
            if seconds is None:
                return None
            total += seconds
        return total / max(1, sum(w.is_ready for w in self._workers))


def _unit(job: Job, index: int, flops: float) -> Unit:
    return unit(
        job.id,
        index,
        owner=job.owner,
        model=job.resolved.model,
        flops=flops,
        priority=job.priority,
    )
