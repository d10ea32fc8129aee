"""The worker processes, for administrators."""

from __future__ import annotations

from fastapi import APIRouter

from server.api.auth import ServicesDep
from server.api.lists import ItemList
from server.services.views import WorkerView

router = APIRouter(prefix="/api/v1/workers", tags=["administration"])


@router.get("", summary="List workers", operation_id="list_workers")
async def list_workers(services: ServicesDep) -> ItemList[WorkerView]:
    """Return each worker process: its device, state and what it holds in memory."""
    return ItemList(items=services.workers.list(), next_cursor=None)
