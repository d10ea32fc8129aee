"""Draws one unit on one worker and keeps what comes, whatever happens to the worker or the disk."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Protocol, TypeVar

import structlog

from server.domain.errors import (
    AppError,
    StorageFullError,
    StorageUnavailableError,
    WorkerDiedError,
)
from server.domain.events import Event, Failed, Picture, Preview, Progress, Started
from server.domain.gallery import StoredImage
from server.domain.ids import IdMaker
from server.domain.images import ResolvedRequest
from server.domain.jobs import JobError, JobState
from server.domain.rates import Rates
from server.domain.routes import Member
from server.domain.tariff import Tariff
from server.services.active import ActiveJob, ActiveJobs
from server.services.budgets import charge
from server.services.tally import Tally
from server.store.store import Store

log = structlog.get_logger(__name__)

MAX_DEATHS = 3  # workers that may end over one job before the job is to blame
_RATE_CHANGE = 0.05  # a smaller change of a rate is not worth a write
_RETRY_SECONDS = 0.2
_RETRY_MOST_SECONDS = 5.0
T = TypeVar("T")


class Drawer(Protocol):
    """The part of a worker that a runner needs."""

    @property
    def id(self) -> str: ...  # noqa: D102

    @property
    def device(self) -> str: ...  # noqa: D102

    def generate(self, request: ResolvedRequest) -> AsyncGenerator[Event, None]: ...  # noqa: D102


def job_error(error: AppError) -> JobError:
    """Return `error` as a job keeps it."""
    return JobError(code=error.code, title=error.title, detail=error.detail)


class Runner:
    """Turns a provider's events into rows, files and live progress."""

    def __init__(
        self,
        store: Store,
        active: ActiveJobs,
        rates: Rates,
        new_id: IdMaker,
        now: Callable[[], datetime],
        epoch: str,
        tariff: Tariff | None = None,
    ) -> None:
        self._store = store
        self._active = active
        self._rates = rates
        self._new_id = new_id
        self._now = now
        self._epoch = epoch
        self._tariff = tariff or Tariff()  # without prices
        self.tally = Tally()
        self._storage_down: str | None = None
        self._kept_rates: dict[tuple[str, str], float] = {}

    @property
    def storage_problem(self) -> str | None:
        """Why finished work cannot be kept now, or None. No new work should start meanwhile."""
        return self._storage_down

    async def draw(self, active: ActiveJob, index: int, member: Member, worker: Drawer) -> None:
        """Draw picture `index` as `member` resolved it; returns when it is kept or cancelled.

        Raises:
            WorkerDiedError: the worker is gone; the unit must wait again.
            AppError: why it will not come.
        """
        resolved = active.resolved(member)
        request = resolved.model_copy(update={"num_images": 1, "seed": resolved.seed + index})
        async with aclosing(worker.generate(request)) as events:
            async for event in events:
                await self.take(active, index, event, worker.id)
                if isinstance(event, Picture):
                    work = active.flops_per_picture(member)
                    await self._learn(member.name, work, event, worker)
                    await self.complete(active)

    async def complete(self, active: ActiveJob) -> None:
        """End a job that has all its pictures."""
        if next(active.missing(), None) is None:
            await self.finish(active, JobState.SUCCEEDED)

    async def finish(
        self, active: ActiveJob, state: JobState, error: AppError | None = None
    ) -> None:
        """End a job for good: its row first, then its tasks and everyone who waits for it."""
        if active.ended.is_set():
            return
        kept = job_error(error) if error is not None else None
        row = await self.persist(
            lambda: self._store.jobs.finish(active.job.id, state, at=self._now(), error=kept)
        )
        active.job = row or active.job
        self._active.end(active.job.id)
        self.tally.job(state)
        for task in active.tasks - {asyncio.current_task()}:
            task.cancel()
        log.info(
            "job.finished",
            job_id=active.job.id,
            state=state.value,
            error=None if error is None else error.code,
        )

    async def died(
        self, active: ActiveJob, index: int, error: WorkerDiedError
    ) -> WorkerDiedError | None:
        """Put a job back after its worker ended over picture `index`.

        Returns:
            None when it may run again; else the error, since it has ended too many.

        A picture that the worker only held changes nothing. One that it had not said a word about
        may have ended it, too, while it loaded the model; but only a job that runs can be put back.
        """
        live = active.live.pop(index, None)
        if error.started:
            if live is None:
                await self._run(active)
            row = await self.persist(lambda: self._store.jobs.requeue(active.job.id, died=True))
            active.job = row or active.job
        if active.job.deaths < MAX_DEATHS:
            return None
        return WorkerDiedError(
            f"{MAX_DEATHS} worker processes ended while drawing this; the last: {error.detail}"
        )

    async def persist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write, again and again while the disk is full or the database does not answer.

        Finished work is never thrown away for want of space: it waits here, in memory.
        """
        wait = _RETRY_SECONDS
        while True:
            try:
                done = await write()
            except (StorageFullError, StorageUnavailableError) as error:
                if self._storage_down is None:
                    log.warning("storage.waiting", reason=str(error))
                self._storage_down = str(error)
                await asyncio.sleep(wait)
                wait = min(wait * 2, _RETRY_MOST_SECONDS)
            else:
                if self._storage_down is not None:
                    log.info("storage.back")
                    self._storage_down = None
                return done

    async def take(self, active: ActiveJob, index: int, event: Event, served_by: str) -> None:
        """Keep what was said of picture `index`.

        Raises:
            AppError: the picture will not come.
        """
        match event:
            case Started():
                await self._started(active, index, event)
            case Progress():
                self._active.progress(active, index, event.step, event.total_steps)
            case Preview():
                self._active.preview(active, index, event.data)
            case Picture():
                await self._keep(active, index, event, served_by)
            case Failed():
                raise event.error

    async def _started(self, active: ActiveJob, index: int, event: Started) -> None:
        self._active.progress(active, index, 0, event.total_steps)
        await self._run(active)

    async def _run(self, active: ActiveJob) -> None:
        if active.job.state is not JobState.RUNNING:
            row = await self.persist(
                lambda: self._store.jobs.start(active.job.id, epoch=self._epoch, at=self._now())
            )
            active.job = row or active.job

    async def _keep(self, active: ActiveJob, index: int, event: Picture, served_by: str) -> None:
        image = self._stored(active, index, event, served_by)
        due = charge(active.job, image, event, self._tariff.currency)
        image, _ = await self.persist(lambda: self._store.keep_image(image, event.data, due))
        active.images[index] = image
        self.tally.picture(image.model, image.served_by, event.duration_seconds, image.cost)
        log.info(
            "image.generated",
            job_id=active.job.id,
            index=index,
            model=image.model,
            duration_seconds=round(event.duration_seconds, 3),
        )

    def _stored(self, active: ActiveJob, index: int, event: Picture, served_by: str) -> StoredImage:
        return StoredImage(
            id=self._new_id(),
            owner=active.job.owner,
            job_id=active.job.id,
            index=index,
            sha256=hashlib.sha256(event.data).hexdigest(),
            size_bytes=len(event.data),
            format=event.format,
            width=event.width,
            height=event.height,
            seed=event.recipe.seed,
            prompt=active.job.request.prompt,
            model=event.recipe.model,
            served_by=served_by,
            duration_seconds=event.duration_seconds,
            recipe=event.recipe,
            cost=self._tariff.cost_of(event),
            created_at=self._now(),
        )

    async def _learn(self, model: str, flops: float, event: Picture, worker: Drawer) -> None:
        rate = self._rates.learn(model, flops, event.device_seconds)
        kept = self._kept_rates.get((worker.device, model))
        if kept is None or abs(rate - kept) > _RATE_CHANGE * kept:
            await self.persist(lambda: self._store.rates.save(worker.device, model, rate))
            self._kept_rates[worker.device, model] = rate
