"""Jobs. Every change of state is one transaction: the row and its event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, Update, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from server.domain.errors import ConflictError
from server.domain.jobs import Job, JobError, JobState
from server.domain.pages import Page
from server.store.database import Database
from server.store.events import EventRepository
from server.store.paging import page
from server.store.tables import jobs

_FINAL = [state.value for state in JobState if state.is_final]
_COLUMNS = [jobs.c[name] for name in Job.model_fields]


class JobRepository:
    """The queue as rows; the waiting order itself is the dispatcher's."""

    def __init__(self, database: Database, events: EventRepository) -> None:
        self._database = database
        self._events = events

    async def add(
        self, job: Job, *, idempotency_key: str | None, request_hash: str
    ) -> tuple[Job, bool]:
        """Keep a new job; returns it and True, or the earlier one of the same key and False.

        Raises:
            ConflictError: the key was used for another request.
        """
        values = {
            **job.model_dump(mode="json"),
            **{name: getattr(job, name) for name in ("created_at", "deadline_at")},
            "idempotency_key": idempotency_key,
            "request_hash": request_hash,
        }
        try:
            async with self._database.write() as connection:
                if idempotency_key is not None:
                    known = await self._same_key(connection, job.owner, idempotency_key)
                    if known is not None:
                        return self._earlier(known, request_hash), False
                await connection.execute(insert(jobs).values(values))
                event = await self._events.write(connection, job, "queued")
        except IntegrityError:  # another transaction was first with this key
            return await self.add(job, idempotency_key=idempotency_key, request_hash=request_hash)
        self._events.tell(event)
        return job, True

    async def get(self, job_id: str, owner: str | None = None) -> Job | None:
        """Return one job; with `owner` only if it is theirs."""
        query = select(*_COLUMNS).where(jobs.c.id == job_id)
        if owner is not None:
            query = query.where(jobs.c.owner == owner)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _job(row)

    async def list(
        self, owner: str, *, cursor: str | None, limit: int, states: Sequence[JobState] = ()
    ) -> Page[Job]:
        """Return the owner's jobs, newest first."""
        query = select(*_COLUMNS).where(jobs.c.owner == owner)
        if states:
            query = query.where(jobs.c.state.in_([state.value for state in states]))
        return await page(self._database, query, jobs.c.id, cursor, limit, _job)

    async def by_state(self, *states: JobState) -> Sequence[Job]:
        """Return everyone's jobs in these states, oldest first."""
        query = select(*_COLUMNS).where(jobs.c.state.in_([state.value for state in states]))
        async with self._database.read() as connection:
            return [_job(row) for row in await connection.execute(query.order_by(jobs.c.id))]

    async def start(self, job_id: str, *, epoch: str, at: datetime) -> Job | None:
        """Note that drawing has begun; None when the job was not queued."""
        change = (
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.state == JobState.QUEUED.value)
            .values(
                state=JobState.RUNNING.value,
                epoch=epoch,
                started_at=at,
                attempt=jobs.c.attempt + 1,
            )
        )
        return await self._change(change, "running")

    async def requeue(self, job_id: str, *, died: bool) -> Job | None:
        """Put a running job back; `died` counts against it. None when it did not run."""
        change = (
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.state == JobState.RUNNING.value)
            .values(state=JobState.QUEUED.value, epoch=None, deaths=jobs.c.deaths + int(died))
        )
        return await self._change(change, "requeued")

    async def finish(
        self, job_id: str, state: JobState, *, at: datetime, error: JobError | None = None
    ) -> Job | None:
        """End a job for good; None when it had ended before."""
        change = (
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.state.not_in(_FINAL))
            .values(
                state=state.value,
                finished_at=at,
                epoch=None,
                error=None if error is None else error.model_dump(),
            )
        )
        return await self._change(change, state.value, error)

    async def requeue_others(self, epoch: str) -> Sequence[Job]:
        """Put back every job that a process before this one was running."""
        query = select(jobs.c.id).where(
            jobs.c.state == JobState.RUNNING.value, jobs.c.epoch.is_distinct_from(epoch)
        )
        async with self._database.read() as connection:
            left = list(await connection.scalars(query.order_by(jobs.c.id)))
        back = [await self.requeue(job_id, died=False) for job_id in left]
        return [job for job in back if job is not None]

    async def _change(self, change: Update, kind: str, error: JobError | None = None) -> Job | None:
        async with self._database.write() as connection:
            row = (await connection.execute(change.returning(*_COLUMNS))).one_or_none()
            if row is None:
                return None
            job = _job(row)
            event = await self._events.write(connection, job, kind, error=error)
        self._events.tell(event)
        return job

    async def _same_key(
        self, connection: AsyncConnection, owner: str, key: str
    ) -> Row[tuple[object, ...]] | None:
        query = select(jobs).where(jobs.c.owner == owner, jobs.c.idempotency_key == key)
        return (await connection.execute(query)).one_or_none()

    def _earlier(self, row: Row[tuple[object, ...]], request_hash: str) -> Job:
        known = row._mapping  # noqa: SLF001 - the documented way to names
        if known["request_hash"] != request_hash:
            raise ConflictError(
                "this idempotency key was used for another request; use a new key for a new request"
            )
        return Job.model_validate({name: known[name] for name in Job.model_fields})


def _job(row: Row[tuple[object, ...]]) -> Job:
    return Job.model_validate(dict(row._mapping))  # noqa: SLF001 - the documented way to names
