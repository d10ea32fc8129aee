"""Hands waiting units to workers and connections in fair order, and moves them on when they must.

What this machine's workers draw waits in one queue, fair in FLOPs; each connection has a lane.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress

import structlog

from server.domain.errors import AppError, GenerationFailedError, WorkerDiedError
from server.domain.jobs import Job, JobState
from server.domain.lending import Loan
from server.domain.provider import SERVER_ENDS
from server.domain.rates import Rates
from server.domain.routes import MemberKind, Outcome
from server.services.active import ActiveJob, ActiveJobs
from server.services.calls import Calls
from server.services.deadlines import Passing, in_time
from server.services.fairness import Unit, unit
from server.services.lanes import Lane, Lanes
from server.services.local_lane import LocalLane, Worker
from server.services.moves import Moves
from server.services.outlook import Forecaster, Outlook
from server.services.record import Record
from server.services.remote_models import Remote
from server.services.runner import Runner

log = structlog.get_logger(__name__)

_TICK_SECONDS = 1.0
GRACE_SECONDS = 8.0  # less than what is usually given to a container that should stop
WORKER_PATIENCE_SECONDS = 60.0  # no worker that draws for so long: those who may move on do


class Dispatcher:
    """The only one who decides fairness between owners.

    Args:
        workers: this machine's.
        active: all unfinished jobs.
        runner: draws with workers.
        calls: draws with connections.
        record: where it is written who was asked.
        lanes: the connections' queues.
        rates: how fast workers are.
        clock: seconds that never jump.
        loans: what trainings hold of the devices' memory.
        grace_seconds: how long `stop` waits for calls that cost money.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        active: ActiveJobs,
        runner: Runner,
        calls: Calls,
        record: Record,
        lanes: Lanes,
        rates: Rates,
        clock: Callable[[], float] = time.monotonic,
        loans: Callable[[], Sequence[Loan]] = lambda: (),
        *,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._active = active
        self._runner = runner
        self._calls = calls
        self._lanes = lanes
        self._rates = rates
        self._clock = clock
        self._local = LocalLane(workers, self._is_suspect)
        self._wake = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._costly: set[asyncio.Task[None]] = set()  # those of them that should not be cut off
        self._grace_seconds = grace_seconds
        self._drew_at = clock()  # when a worker could last draw
        self._ticked_at = clock()
        self._moves = Moves(self._local.queue, lanes, record, runner, self._changed)
        self._forecaster = Forecaster(self._local, active, rates, lanes, loans)

    def start(self) -> None:
        """Begin handing out work."""
        self._loop_task = asyncio.create_task(self._loop(), name="dispatcher")

    async def stop(self) -> None:
        """Stop; units in flight are cancelled and their jobs stay unfinished rows.

        Calls that cost money may end first, for a while: cut off, they could not be made again.
        """
        if self._loop_task is not None:
            self._loop_task.cancel()
        if self._costly:
            await asyncio.wait(self._costly, timeout=self._grace_seconds)
        for task in self._tasks:
            task.cancel(SERVER_ENDS)
        await asyncio.gather(*self._tasks, *filter(None, [self._loop_task]), return_exceptions=True)

    def wake(self) -> None:
        """Look again: a worker is ready or a unit came."""
        self._wake.set()

    def connections_changed(self) -> None:
        """Look again: a connection came, went or became another one."""
        self._lanes.look_again()
        self.wake()

    async def admit(self, active: ActiveJob) -> None:
        """Let a job wait for its turn, where it will be done in time if anywhere."""
        await self._moves.admit(active)
        if (passing := self._passing(active)) is not None:
            await self._moves.pass_over(active, passing)

    async def cancel(self, active: ActiveJob, state: JobState, error: AppError | None) -> None:
        """End a job before its time, wherever it is."""
        self._moves.discard(active.job.id)
        await self._runner.finish(active, state, error)

    def outlook(self, job_id: str) -> Outlook:
        """Return place and time left of an unfinished job."""
        return self._forecaster.of(job_id)

    def outlook_of_new(self, job: Job) -> tuple[int, float | None]:
        """Return the place a job would take now, and seconds until its first step."""
        first = next(member for member in job.way.members if member.is_allowed)
        if first.kind is MemberKind.REMOTE:
            waiting = len({due.job_id for due in self._lanes.lane(first.name).queue.order()})
            return 1 + waiting, self._lanes.waiting_seconds(first.name)
        per_picture = first.flops / job.resolved.num_images
        new = unit(
            job.id, 0, owner=job.owner, model=first.name, flops=per_picture, priority=job.priority
        )
        return self._forecaster.of_new(new)

    def seconds_of_work(self, job: Job) -> float | None:
        """Return the seconds that drawing all of a new job takes; None: never measured."""
        first = next(member for member in job.way.members if member.is_allowed)
        if first.kind is MemberKind.REMOTE:
            return self._lanes.rates.seconds(first.name, job.resolved.num_images)
        return self._rates.seconds(first.name, first.flops)

    def waiting(self) -> int:
        """Return how many units wait."""
        return len(self._local.queue) + len(self._lanes)

    def in_flight(self, worker_id: str) -> int:
        """Return how many units a worker holds."""
        return self._local.held_by(worker_id)

    async def _loop(self) -> None:
        while True:
            self._tick()
            self._hand_out()
            self._call()
            # Also without a wake: nobody announces that a disk has room, or that time has passed.
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()

    def _changed(self) -> None:
        self._forecaster.changed()
        self.wake()

    # What this machine's workers draw.

    def _hand_out(self) -> None:
        while self._runner.storage_problem is None and (found := self._local.next()) is not None:
            due, worker = found
            release = functools.partial(self._local.release, due, worker)
            active = self._active.get(due.job_id)
            if active is None or due.index in active.stored:
                release()
                continue
            self._launch(functools.partial(self._run, due, active, worker), active, release)

    def _is_suspect(self, held: Unit) -> bool:
        active = self._active.get(held.job_id)
        return active is not None and active.job.deaths > 0

    async def _run(self, due: Unit, active: ActiveJob, worker: Worker) -> None:
        try:
            member = active.job.way.member(due.model)
            await self._runner.draw(active, due.index, member, worker)
        except WorkerDiedError as error:
            fatal = await self._runner.died(active, due.index, error)
            if fatal is not None:
                await self._moves.on(active, due.pictures, due.model, fatal)
            elif not active.ended.is_set():
                self._local.queue.push(due)
        except AppError as error:
            active.live.pop(due.index, None)
            await self._moves.on(active, due.pictures, due.model, error)

    # What connections draw.

    def _call(self) -> None:
        """Begin the calls that may begin; send on those that should not wait where they are."""
        if self._runner.storage_problem is not None:
            return
        for lane in self._lanes:
            remote = self._lanes.remotes.get(lane.name)
            while remote is not None and (due := lane.next(remote)) is not None:
                active = self._active.get(due.job_id)
                release = functools.partial(lane.release, due)
                if active is None:
                    release()
                    continue
                call = functools.partial(self._call_one, due, active, remote, lane)
                is_costly = not (remote.is_free or remote.resends_safely)
                self._launch(call, active, release, is_costly=is_costly)
        for due, error in self._lanes.turned_away(self._has_another):
            if (active := self._active.get(due.job_id)) is not None:
                move = functools.partial(
                    self._moves.on, active, due.pictures, due.model, error, outcome=Outcome.SKIPPED
                )
                self._launch(move, active)

    def _has_another(self, due: Unit) -> bool:
        active = self._active.get(due.job_id)
        return active is None or self._moves.has_another(active, due.model, due.pictures)

    async def _call_one(self, due: Unit, active: ActiveJob, remote: Remote, lane: Lane) -> None:
        member = active.job.way.member(lane.name)
        try:
            await self._calls.draw(active, due, member, remote, lane)
        except AppError as error:
            missing = [picture for picture in due.pictures if picture not in active.stored]
            for picture in missing:
                active.live.pop(picture, None)
            await self._moves.on(active, missing, lane.name, error, is_noted=True)

    # What time brings.

    def _tick(self) -> None:
        now = self._clock()
        if self._local.ready():
            self._drew_at = now
        if now - self._ticked_at < _TICK_SECONDS:
            return
        self._ticked_at = now
        away = now - self._drew_at
        for job_id, model in {due.job_id: due.model for due in self._local.queue.order()}.items():
            active = self._active.get(job_id)
            if active is None or active.job.way.is_plain:
                continue
            if away > WORKER_PATIENCE_SECONDS and self._may_leave(active, model):
                gone = WorkerDiedError(f"no worker of this machine has drawn for {away:.0f} s")
                self._launch(functools.partial(self._moves.on, active, (), model, gone), active)
            elif (passing := self._passing(active)) is not None:
                self._launch(functools.partial(self._moves.pass_over, active, passing), active)

    def _may_leave(self, active: ActiveJob, model: str) -> bool:
        return self._moves.has_another(active, model, self._waiting_here(active))

    def _waiting_here(self, active: ActiveJob) -> list[int]:
        return [due.index for due in self._local.queue.order() if due.job_id == active.job.id]

    def _passing(self, active: ActiveJob) -> Passing | None:
        """Return whom to pass over, if a job would be late here and a connection be earlier."""
        if active.deadline is None or active.job.way.is_plain:
            return None
        mine = self._waiting_here(active)
        return in_time(
            active,
            mine,
            left_seconds=active.deadline.when() - asyncio.get_running_loop().time(),
            own_seconds=self.outlook(active.job.id).eta_seconds,
            seconds_of=lambda name: self._lanes.seconds(name, len(mine)),
        )

    def _launch(
        self,
        work: Callable[[], Coroutine[None, None, None]],
        active: ActiveJob,
        release: Callable[[], None] = lambda: None,
        *,
        is_costly: bool = False,
    ) -> None:
        """Do `work` as a task of the job; `release` is called even if it never came to begin."""
        task = asyncio.create_task(self._guarded(work, active), name=f"draw {active.job.id}")
        for held in (self._tasks, active.tasks, *([self._costly] if is_costly else ())):
            held.add(task)
            task.add_done_callback(held.discard)

        def over(_: asyncio.Task[None]) -> None:
            release()
            self._changed()

        task.add_done_callback(over)

    async def _guarded(
        self, work: Callable[[], Coroutine[None, None, None]], active: ActiveJob
    ) -> None:
        try:
            await work()
        except Exception:
            log.exception("job.broke", job_id=active.job.id)
            broke = GenerationFailedError("an unexpected error; the server's log has the details")
            await self._runner.finish(active, JobState.FAILED, broke)
