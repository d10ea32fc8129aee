"""The queue's rows. Every change compares the state first, so of two rivals one wins."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, select, update

from server.domain.errors import ConflictError
from server.domain.jobs import Job, JobError, JobState
from server.domain.pages import Page
from server.domain.tariff import Quote
from server.store import ledger
from server.store.columns import read
from server.store.database import Database, EventType, Transaction
from server.store.pages import page
from server.store.schema import jobs

_COLUMNS = tuple(jobs.c[name] for name in Job.model_fields)
_UNFINISHED = (JobState.QUEUED.value, JobState.RUNNING.value)
_ENDED: dict[JobState, EventType] = {
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


def _job(row: Row[Any]) -> Job:
    return read(Job, row)


class JobRepository:
    """Jobs of all owners; `owner=None` means the server itself asks."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def add(
        self,
        job: Job,
        *,
        idempotency_key: str | None,
        request_hash: str,
        quote: Quote | None = None,
    ) -> tuple[Job, bool]:
        """Keep a new job, or find the one that the same owner sent under the same key.

        Args:
            job: the row.
            idempotency_key: the owner's own name for the request.
            request_hash: tells two requests apart.
            quote: what a new job reserves from its key's budget; None: nothing.

        Returns:
            The row, and whether it is new.

        Raises:
            ConflictError: the key was used for another request.
            BudgetExceededError: the budget has not enough left; nothing was written.
        """

        def work(transaction: Transaction) -> tuple[Job, str, bool]:
            values = dict(job) | {"idempotency_key": idempotency_key, "request_hash": request_hash}
            if not transaction.add(jobs, values, ["owner", "idempotency_key"]):
                found = transaction.execute(
                    select(*_COLUMNS, jobs.c.request_hash).where(
                        jobs.c.owner == job.owner, jobs.c.idempotency_key == idempotency_key
                    )
                ).one()
                *_, its_hash = found
                return _job(found), its_hash, False
            hold = None if quote is None else ledger.reserve(transaction, job, quote)
            transaction.tell("queued", owner=job.owner, job_id=job.id, at=job.created_at)
            return job.model_copy(update={"hold": hold}), request_hash, True

        row, its_hash, created = await self._database.write(work)
        if its_hash != request_hash:
            raise ConflictError(
                f"the idempotency key '{idempotency_key}' was used for another request; "
                "send a new key, or the same request",
                parameter="Idempotency-Key",
            )
        return row, created

    async def by_key(self, owner: str, idempotency_key: str) -> Job | None:
        """Return the job that `owner` sent under a key, if there is one."""
        statement = select(*_COLUMNS).where(
            jobs.c.owner == owner, jobs.c.idempotency_key == idempotency_key
        )
        rows = await self._database.read(statement)
        return _job(rows[0]) if rows else None

    async def get(self, job_id: str, owner: str | None = None) -> Job | None:
        """Return a job, if there is one and `owner` may see it."""
        statement = select(*_COLUMNS).where(jobs.c.id == job_id)
        if owner is not None:
            statement = statement.where(jobs.c.owner == owner)
        rows = await self._database.read(statement)
        return _job(rows[0]) if rows else None

    async def list(
        self, owner: str, *, cursor: str | None, limit: int, states: Sequence[JobState] = ()
    ) -> Page[Job]:
        """Return an owner's jobs, newest first; with `states` only those."""
        statement = select(*_COLUMNS).where(jobs.c.owner == owner)
        if states:
            statement = statement.where(jobs.c.state.in_([state.value for state in states]))
        return await page(self._database, statement, jobs.c.id, _job, cursor, limit)

    async def by_state(self, *states: JobState) -> builtins.list[Job]:
        """Return all owners' jobs in these states, oldest first."""
        wanted = jobs.c.state.in_([state.value for state in states])
        statement = select(*_COLUMNS).where(wanted).order_by(jobs.c.id)
        return [_job(row) for row in await self._database.read(statement)]

    async def start(self, job_id: str, *, epoch: str, at: datetime) -> Job | None:
        """Turn a queued job into a running one of `epoch`; None when it was not queued."""
        values = {
            "state": JobState.RUNNING,
            "epoch": epoch,
            "started_at": at,
            "attempt": jobs.c.attempt + 1,
        }
        return await self._change(job_id, [JobState.QUEUED], values, "running", at)

    async def requeue(self, job_id: str, *, died: bool) -> Job | None:
        """Put a running job back; `died` counts a worker's death. None when it did not run."""
        values = {
            "state": JobState.QUEUED,
            "epoch": None,
            "started_at": None,
            "deaths": jobs.c.deaths + int(died),
        }
        return await self._change(job_id, [JobState.RUNNING], values, "requeued", self._now())

    async def finish(
        self, job_id: str, state: JobState, *, at: datetime, error: JobError | None = None
    ) -> Job | None:
        """End a job that has not ended, and settle what it reserved; None when it had ended."""
        values = {
            "state": state,
            "epoch": None,
            "finished_at": at,
            "error": error,
            "cost": ledger.COST_OF_JOB,
        }
        return await self._change(job_id, _UNFINISHED, values, _ENDED[state], at)

    async def requeue_others(self, epoch: str) -> builtins.list[Job]:
        """Put back what ran in other epochs: at start, when those processes are gone."""
        where = (jobs.c.state == JobState.RUNNING, jobs.c.epoch != epoch)
        values = {"state": JobState.QUEUED, "epoch": None, "started_at": None}
        return await self._change_all(where, values, "requeued", self._now())

    async def _change(
        self,
        job_id: str,
        states: Sequence[str],
        values: dict[str, Any],
        kind: EventType,
        at: datetime,
    ) -> Job | None:
        where = (jobs.c.id == job_id, jobs.c.state.in_(states))
        changed = await self._change_all(where, values, kind, at)
        return changed[0] if changed else None

    async def _change_all(
        self,
        where: Sequence[ColumnElement[bool]],
        values: dict[str, Any],
        kind: EventType,
        at: datetime,
    ) -> builtins.list[Job]:
        statement = update(jobs).where(*where).values(values).returning(*_COLUMNS)

        def work(transaction: Transaction) -> builtins.list[Job]:
            rows = transaction.execute(statement).all()
            changed = sorted(map(_job, rows), key=lambda job: job.id)
            for job in changed:
                error = job.error
                transaction.tell(kind, owner=job.owner, job_id=job.id, at=at, error=error)
                if job.state.is_final:
                    ledger.close(transaction, job, at)
            return changed

        return await self._database.write(work)
