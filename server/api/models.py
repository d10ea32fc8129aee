"""Models: what can be drawn with; for administrators also what is fetched and added."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from server.api.auth import ServicesDep
from server.api.lists import ItemList
from server.api.problems import documented
from server.domain.images import ModelId
from server.services.views import ModelView

router = APIRouter(prefix="/api/v1/models", tags=["models"])
admin_router = APIRouter(prefix="/api/v1/models", tags=["models"])
upload_router = APIRouter(prefix="/api/v1/models", tags=["models"])

NamedModel = Annotated[ModelId, Path(description="Id or alias of a model")]


@router.get("", summary="List models", operation_id="list_models")
async def list_models(services: ServicesDep) -> ItemList[ModelView]:
    """Return every registered model: what it takes, and whether it can draw now."""
    return ItemList(items=services.models.list(), next_cursor=None)


@router.get(
    "/{model_id}", summary="Look at a model", operation_id="get_model", responses=documented(404)
)
async def get_model(model_id: NamedModel, services: ServicesDep) -> ModelView:
    """Return one model with all its parameters, sizes and styles."""
    return services.models.get(model_id)


@admin_router.post(
    "/{model_id}/pull",
    status_code=202,
    summary="Fetch a model's files",
    operation_id="pull_model",
    responses=documented(404, 409),
)
async def pull_model(model_id: NamedModel, services: ServicesDep) -> ModelView:
    """Begin to fetch; `pull` of the model tells how far it is. For administrators."""
    return services.models.pull(model_id)
