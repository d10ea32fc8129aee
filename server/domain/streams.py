"""State events: the rows that a stream replays."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from server.domain.images import Frozen, Id
from server.domain.jobs import JobError


class StateEvent(Frozen):
    """One change of one job, numbered in the order of its transaction."""

    id: int
    owner: str
    job_id: Id
    type: Literal["queued", "running", "requeued", "picture", "succeeded", "failed", "cancelled"]
    at: datetime
    image_id: Id | None
    error: JobError | None
