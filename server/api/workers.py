"""The worker processes, for administrators."""

from __future__ import annotations

from fastapi import APIRouter

from server.api.auth import ServicesDep
from server.api.lists import ItemList
from server.api.problems import documented
from server.services.views import WorkerView

router = APIRouter(prefix="/api/v1/workers", tags=["administration"])


@router.get("", summary="List workers", operation_id="list_workers")
async def list_workers(services: ServicesDep) -> ItemList[WorkerView]:
    """Return each worker process: its device, state and what it holds in memory."""
    return ItemList(items=services.workers.list(), next_cursor=None)


@router.post(
    "/{worker_id}/want-back",
    summary="Want lent memory back",
    operation_id="want_memory_back",
    responses=documented(404),
)
async def want_memory_back(worker_id: str, services: ServicesDep) -> WorkerView:
    """Ask trainings on a worker's device to give its memory back at their next checkpoint."""
    return services.workers.want_back(worker_id)
