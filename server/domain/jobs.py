"""A job: one request on its way to one to four pictures."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from server.domain.budgets import Hold
from server.domain.images import Frozen, Id, ImageRequest, Priority, ResolvedRequest
from server.domain.money import Money
from server.domain.routes import Route, alone


class JobState(StrEnum):
    """queued -> running -> one of the last three; running -> queued when a process died."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True when the job will never change again."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class JobError(Frozen):
    """Why a job failed; `code` is an AppError's."""

    code: str
    title: str
    detail: str


class Job(Frozen):
    """One row of the queue.

    `deaths` counts workers that ended while drawing it. `route` is None in rows of versions that
    knew no chains; ask `way`. `cost` is of its pictures, once it has ended; None: one of them has
    no known cost.
    """

    id: Id
    owner: str
    key_id: str
    state: JobState
    priority: Priority
    request: ImageRequest
    resolved: ResolvedRequest
    flops: float  # of the whole job
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None
    attempt: int
    deaths: int
    error: JobError | None
    route: Route | None
    hold: Hold | None = None
    cost: Money | None = None

    @property
    def way(self) -> Route:
        """Who may draw it."""
        return self.route or alone(self.resolved.model, self.flops)
