"""Questions of orchestrators. Open to all, so they say what is wrong, not why."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Response

from server.api.auth import ServicesDep
from server.domain.images import Frozen

router = APIRouter(prefix="/health", tags=["operation"])


class Live(Frozen):
    """This process answers."""

    status: Literal["live"]


class Ready(Frozen):
    """Whether jobs can be drawn now.

    `missing` names what stands in the way, `notes` what does not but needs a look: the log and
    the administrators' routes say more.
    """

    status: Literal["ready", "not ready"]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Ready, "description": "Something is missing; jobs are taken and wait"}
}


@router.get("/live", summary="Is the process alive?", operation_id="get_live")
async def live() -> Live:
    """Answer as long as the event loop turns; touches nothing else."""
    return Live(status="live")


@router.get("/ready", summary="Can it draw now?", operation_id="get_ready", responses=_NOT_READY)
async def ready(services: ServicesDep, response: Response) -> Ready:
    """Check storage, that a worker is up, and that the default model is here."""
    missing = tuple(check.name for check in await services.health.checks() if check.problem)
    notes = tuple(note.name for note in await services.health.notes() if note.problem)
    response.status_code = 503 if missing else 200
    return Ready(status="not ready" if missing else "ready", missing=missing, notes=notes)
