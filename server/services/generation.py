"""Submit, watch and cancel jobs."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from server.domain.errors import DeadlineMissedError, NotFoundError, QueueFullError
from server.domain.gallery import StoredImage
from server.domain.ids import IdMaker
from server.domain.images import ImageRequest, ResolvedRequest
from server.domain.jobs import Job, JobState
from server.domain.keys import Caller
from server.domain.models import ModelInfo
from server.domain.pages import Page
from server.domain.rates import Rates
from server.domain.resolve import resolve
from server.domain.work import flops
from server.registry.registry import Registry
from server.services.active import ActiveJob, ActiveJobs
from server.services.adapters import Adapters
from server.services.budgets import Budgets
from server.services.dispatcher import Dispatcher
from server.services.sources import Sources
from server.services.views import EstimateView, JobView, job_view
from server.store.store import Store

log = structlog.get_logger(__name__)

_SERVED_BY = "local"
_LATER_SECONDS = 30  # Retry-After while nothing was measured yet


class Generation:
    """The life of a job, from the request to its last picture."""

    def __init__(
        self,
        store: Store,
        sources: Sources,
        adapters: Adapters,
        registry: Registry,
        active: ActiveJobs,
        dispatcher: Dispatcher,
        rates: Rates,
        new_id: IdMaker,
        now: Callable[[], datetime],
        *,
        max_jobs: int,
        max_jobs_per_owner: int,
        budgets: Budgets,
    ) -> None:
        self._store = store
        self._sources = sources
        self._adapters = adapters
        self._registry = registry
        self._active = active
        self._dispatcher = dispatcher
        self._rates = rates
        self._new_id = new_id
        self._now = now
        self._max_jobs = max_jobs
        self._max_jobs_per_owner = max_jobs_per_owner
        self._budgets = budgets
        self._expiries: set[asyncio.Task[None]] = set()

    async def restore(self, epoch: str) -> int:
        """Take up every unfinished job of earlier processes; returns how many."""
        await self._store.jobs.requeue_others(epoch)
        jobs = await self._store.jobs.by_state(JobState.QUEUED)
        kept = await self._store.images.of_jobs([job.id for job in jobs])
        for job in jobs:
            active = self._active.add(job, kept.get(job.id, ()))
            if next(active.missing(), None) is None:  # died between the last picture and the end
                await self._store.jobs.finish(job.id, JobState.SUCCEEDED, at=self._now())
                self._active.end(job.id)
                continue
            self._watch_deadline(active, is_new=False)
            self._dispatcher.push(active)
        return len(jobs)

    async def submit(
        self, request: ImageRequest, caller: Caller, *, idempotency_key: str | None = None
    ) -> JobView:
        """Write the job and let it wait for its turn.

        Raises:
            ModelNotFoundError, ModelUnavailableError, RequestRefusedError: see there.
            NotFoundError: a picture that the request names is not the caller's.
            QueueFullError: too many unfinished jobs, of this owner or in all.
            ConflictError: `idempotency_key` was used for another request.
            BudgetExceededError: the caller's key cannot pay for this.
        """
        resolved, info = await self._resolve(request, caller)
        if not await self._is_known(caller, idempotency_key):
            self._refuse_when_full(caller)
        job = self._job(request, resolved, info, caller)
        row, created = await self._store.jobs.add(
            job,
            idempotency_key=idempotency_key,
            request_hash=_hash(request),
            quote=self._budgets.to_reserve(self._budgets.local(job), caller),
        )
        if created:
            active = self._active.add(row)
            self._watch_deadline(active, is_new=True)
            self._dispatcher.push(active)
            log.info("job.queued", job_id=row.id, model=info.id, owner=caller.owner)
            return self._seen(row, ())
        return await self._view(row)

    async def _is_known(self, caller: Caller, idempotency_key: str | None) -> bool:
        """Return whether this is a resend: it is answered even when the queue is full."""
        if idempotency_key is None:
            return False
        return await self._store.jobs.by_key(caller.owner, idempotency_key) is not None

    async def estimate(self, request: ImageRequest, caller: Caller) -> EstimateView:
        """Return what `request` would take, without drawing it."""
        resolved, info = await self._resolve(request, caller)
        job = self._job(request, resolved, info, caller)
        place, waiting = self._dispatcher.outlook_of_new(job)
        quote = self._budgets.local(job)
        return EstimateView(
            model=info.id,
            served_by=_SERVED_BY,
            seconds=self._rates.seconds(info.id, job.flops),
            waiting_seconds=waiting,
            place=place,
            cost=quote.cost,
            cost_basis=quote.basis,
            credits=self._budgets.tariff.credits(quote.cost, resolved.num_images),
        )

    async def job(self, job_id: str, caller: Caller) -> JobView:
        """Return one of the caller's jobs."""
        return await self._view(await self._row(job_id, caller))

    async def jobs(
        self,
        caller: Caller,
        *,
        cursor: str | None,
        limit: int,
        states: Sequence[JobState] = (),
    ) -> Page[JobView]:
        """Return the caller's jobs, newest first."""
        page = await self._store.jobs.list(caller.owner, cursor=cursor, limit=limit, states=states)
        images = await self._store.images.of_jobs([job.id for job in page.items])
        views = tuple(self._seen(job, tuple(images.get(job.id, ()))) for job in page.items)
        return Page(views, page.next_cursor)

    async def cancel(self, job_id: str, caller: Caller) -> JobView:
        """Cancel a job wherever it is; pictures that are done stay, and so does a finished job."""
        row = await self._row(job_id, caller)
        active = self._active.get(row.id)
        if active is not None:
            await self._dispatcher.cancel(active, JobState.CANCELLED, None)
        return await self.job(job_id, caller)

    async def wait(self, job_id: str, caller: Caller, seconds: float) -> JobView:
        """Return the job once it has ended, or as it is after `seconds`."""
        active = self._active.get(job_id)
        if active is not None and active.job.owner == caller.owner:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await active.ended.wait()
            if active.job.state.is_final:  # all of it is in memory still
                images = tuple(active.images[i] for i in sorted(active.images))
                return job_view(active.job, images, tariff=self._budgets.tariff)
        return await self.job(job_id, caller)

    async def _row(self, job_id: str, caller: Caller) -> Job:
        row = await self._store.jobs.get(job_id, caller.owner)
        if row is None:
            raise NotFoundError(f"no job '{job_id}'")
        return row

    async def _view(self, row: Job) -> JobView:
        return self._seen(row, tuple(await self._store.images.of_job(row.id)))

    def _seen(self, row: Job, images: tuple[StoredImage, ...]) -> JobView:
        active = self._active.get(row.id)
        if active is None or row.state.is_final:
            return job_view(row, images, tariff=self._budgets.tariff)
        outlook = self._dispatcher.outlook(row.id)
        return job_view(
            row,
            images,
            tariff=self._budgets.tariff,
            place=outlook.place,
            step=active.step,
            eta_seconds=outlook.eta_seconds,
        )

    async def _resolve(
        self, request: ImageRequest, caller: Caller
    ) -> tuple[ResolvedRequest, ModelInfo]:
        info = self._registry.info(request.model)
        self._registry.engine_model(info.id)  # raises what is missing, before any cost
        given = await self._sources.pixels(request, caller)
        known = await self._adapters.known_to(request)
        resolved = resolve(
            request, info, seed=secrets.randbelow(2**32), given=given, adapters=known
        )
        return resolved, info

    def _job(
        self, request: ImageRequest, resolved: ResolvedRequest, info: ModelInfo, caller: Caller
    ) -> Job:
        now = self._now()
        wait = request.deadline_seconds
        return Job(
            id=self._new_id(),
            owner=caller.owner,
            key_id=caller.key_id,
            state=JobState.QUEUED,
            priority=request.priority,
            request=request,
            resolved=resolved,
            flops=flops(info.family, resolved),
            created_at=now,
            started_at=None,
            finished_at=None,
            deadline_at=None if wait is None else now + timedelta(seconds=wait),
            attempt=0,
            deaths=0,
            error=None,
        )

    def _refuse_when_full(self, caller: Caller) -> None:
        own = sum(active.job.owner == caller.owner for active in self._active)
        if own >= self._max_jobs_per_owner:
            detail = f"{own} of your jobs are unfinished, the most allowed; wait or cancel some"
        elif len(self._active) >= self._max_jobs:
            detail = f"{len(self._active)} jobs are unfinished, the most this server takes"
        else:
            return
        raise QueueFullError(detail, retry_after_seconds=self._retry_after())

    def _retry_after(self) -> int:
        """Seconds until the first unfinished job should have ended."""
        ends = [self._dispatcher.outlook(active.job.id).eta_seconds for active in self._active]
        known = [seconds for seconds in ends if seconds is not None]
        return max(1, round(min(known))) if known else _LATER_SECONDS

    def _watch_deadline(self, active: ActiveJob, *, is_new: bool) -> None:
        if active.job.deadline_at is None:
            return
        # As a span from the start, so a clock that jumps changes nothing. After a restart only
        # the time of day is left to go by, but never for longer than was asked.
        asked = active.job.request.deadline_seconds or 0.0
        left = asked if is_new else (active.job.deadline_at - self._now()).total_seconds()
        active.deadline = asyncio.get_running_loop().call_later(
            min(max(0.0, left), asked), self._start_expiry, active
        )

    def _start_expiry(self, active: ActiveJob) -> None:
        task = asyncio.create_task(self._expire(active))
        self._expiries.add(task)
        task.add_done_callback(self._expiries.discard)

    async def _expire(self, active: ActiveJob) -> None:
        seconds = active.job.request.deadline_seconds or 0.0
        error = DeadlineMissedError(f"the job was not done within its {seconds:g} seconds")
        await self._dispatcher.cancel(active, JobState.FAILED, error)


def _hash(request: ImageRequest) -> str:
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()
