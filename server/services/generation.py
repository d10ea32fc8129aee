"""Submit, watch and cancel jobs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from server.domain.errors import DeadlineMissedError, NotFoundError, QueueFullError
from server.domain.gallery import StoredImage
from server.domain.ids import IdMaker
from server.domain.images import ImageRequest
from server.domain.jobs import Job, JobState
from server.domain.keys import Caller
from server.domain.pages import Page
from server.domain.routes import MemberKind, Tried
from server.services.active import ActiveJob, ActiveJobs
from server.services.budgets import Budgets
from server.services.dispatcher import Dispatcher
from server.services.record import Record
from server.services.remotes import Remotes
from server.services.route_views import route_view
from server.services.routing import Plan, Router
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
        router: Router,
        record: Record,
        remotes: Remotes,
        active: ActiveJobs,
        dispatcher: Dispatcher,
        new_id: IdMaker,
        now: Callable[[], datetime],
        *,
        max_jobs: int,
        max_jobs_per_owner: int,
        budgets: Budgets,
    ) -> None:
        self._store = store
        self._router = router
        self._record = record
        self._remotes = remotes
        self._active = active
        self._dispatcher = dispatcher
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
        ids = [job.id for job in jobs]
        kept, tried = await self._store.images.of_jobs(ids), await self._store.tried.of_jobs(ids)
        for job in jobs:
            active = self._active.add(job, kept.get(job.id, ()), tried.get(job.id, ()))
            await self._record.take_up(active, self._resends)
            if next(active.missing(), None) is None:  # died between the last picture and the end
                await self._store.jobs.finish(job.id, JobState.SUCCEEDED, at=self._now())
                self._active.end(job.id)
                continue
            self._watch_deadline(active, is_new=False)
            await self._dispatcher.admit(active)
        return len(jobs)

    def _resends(self, member: str) -> bool:
        remote = self._remotes.get(member)
        return remote is not None and remote.resends_safely

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
        plan = await self._router.plan(request, caller)
        if not await self._is_known(caller, idempotency_key):
            self._refuse_when_full(caller)
        job = self._budgets.affordable(self._job(request, plan, caller), caller)
        row, created = await self._store.jobs.add(
            job,
            idempotency_key=idempotency_key,
            request_hash=_hash(request),
            quote=self._budgets.to_reserve(job, caller),
        )
        if created:
            active = self._active.add(row)
            self._watch_deadline(active, is_new=True)
            log.info("job.queued", job_id=row.id, model=plan.model, owner=caller.owner)
            await self._dispatcher.admit(active)
            return self._seen(active.job, (), active.tried)
        return await self._view(row)

    async def _is_known(self, caller: Caller, idempotency_key: str | None) -> bool:
        """Return whether this is a resend: it is answered even when the queue is full."""
        if idempotency_key is None:
            return False
        return await self._store.jobs.by_key(caller.owner, idempotency_key) is not None

    async def estimate(self, request: ImageRequest, caller: Caller) -> EstimateView:
        """Return what `request` would take, without drawing it."""
        plan = await self._router.plan(request, caller)
        job = self._budgets.affordable(self._job(request, plan, caller), caller)
        place, waiting = self._dispatcher.outlook_of_new(job)
        quote = self._budgets.expected(job)
        first = next(member for member in job.way.members if member.is_allowed)
        return EstimateView(
            model=first.name,
            served_by=_SERVED_BY if first.kind is MemberKind.LOCAL else first.name,
            fallback=job.way.fallback,
            route=route_view(job.way, job.resolved),
            seconds=self._dispatcher.seconds_of_work(job),
            waiting_seconds=waiting,
            place=place,
            cost=quote.cost,
            cost_basis=quote.basis,
            credits=self._budgets.tariff.credits(quote.cost, plan.resolved.num_images),
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
        ids = [job.id for job in page.items]
        images = await self._store.images.of_jobs(ids)
        routed = [job.id for job in page.items if not job.way.is_plain]
        tried = await self._store.tried.of_jobs(routed)
        views = tuple(
            self._seen(job, tuple(images.get(job.id, ())), tried.get(job.id, ()))
            for job in page.items
        )
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
                return job_view(active.job, images, active.tried, tariff=self._budgets.tariff)
        return await self.job(job_id, caller)

    async def _row(self, job_id: str, caller: Caller) -> Job:
        row = await self._store.jobs.get(job_id, caller.owner)
        if row is None:
            raise NotFoundError(f"no job '{job_id}'")
        return row

    async def _view(self, row: Job) -> JobView:
        images = tuple(await self._store.images.of_job(row.id))
        # Most jobs have nobody beside their model, and so no record to read.
        tried = () if row.way.is_plain else await self._store.tried.of_job(row.id)
        return self._seen(row, images, tried)

    def _seen(
        self, row: Job, images: tuple[StoredImage, ...], tried: Sequence[Tried] = ()
    ) -> JobView:
        active = self._active.get(row.id)
        if active is None or row.state.is_final:
            return job_view(row, images, tried, tariff=self._budgets.tariff)
        outlook = self._dispatcher.outlook(row.id)
        return job_view(
            row,
            images,
            tried,
            tariff=self._budgets.tariff,
            place=outlook.place,
            step=active.step,
            eta_seconds=outlook.eta_seconds,
            waiting_for=outlook.waiting_for,
        )

    def _job(self, request: ImageRequest, plan: Plan, caller: Caller) -> Job:
        now = self._now()
        wait = request.deadline_seconds
        return Job(
            id=self._new_id(),
            owner=caller.owner,
            key_id=caller.key_id,
            state=JobState.QUEUED,
            priority=request.priority,
            request=request,
            resolved=plan.resolved,
            flops=plan.flops,
            created_at=now,
            started_at=None,
            finished_at=None,
            deadline_at=None if wait is None else now + timedelta(seconds=wait),
            attempt=0,
            deaths=0,
            error=None,
            route=plan.route,
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
