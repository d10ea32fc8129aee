"""Models: what can be drawn with; for administrators also what is fetched and added."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response

from server.api.auth import ServicesDep
from server.api.bodies import capped
from server.api.lists import ItemList
from server.api.problems import documented
from server.domain.images import Frozen, ModelId
from server.services.model_files import FILE_NAME
from server.services.models import HubModel, LocalModel
from server.services.views import ModelView

router = APIRouter(prefix="/api/v1/models", tags=["models"])
admin_router = APIRouter(prefix="/api/v1/models", tags=["models"])

MAX_FILE_BYTES = 64 * 2**30
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
FileName = Annotated[
    str, Path(pattern=FILE_NAME, description="A plain name that ends in .safetensors")
]


class ModelFile(Frozen):
    """A file of weights that is kept; register it with its name as `file`."""

    file: str
    size_bytes: int


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


@admin_router.post(
    "",
    status_code=201,
    summary="Register a model",
    operation_id="add_model",
    responses=documented(409, 507),
)
async def add_model(
    body: Annotated[HubModel | LocalModel, Body()], services: ServicesDep, response: Response
) -> ModelView:
    """Register a repo of the hub, or a file or folder that lies in the models' folder.

    A repo is then pinned and pulled. For administrators.
    """
    model = await services.models.add(body)
    response.headers["Location"] = f"{router.prefix}/{model.id}"
    return model


@admin_router.post(
    "/{model_id}/pin",
    summary="Decide for a commit",
    operation_id="pin_model",
    responses=documented(404, 409),
)
async def pin_model(model_id: NamedModel, services: ServicesDep) -> ModelView:
    """Ask the hub for the newest commit and mean that one from now on. For administrators."""
    return await services.models.pin(model_id)


@admin_router.post(
    "/{model_id}/load",
    summary="Load a model",
    operation_id="load_model",
    responses=documented(404, 409, 503),
)
async def load_model(model_id: NamedModel, services: ServicesDep) -> ModelView:
    """Have a model on the devices before its first picture; answers when it is there.

    It waits for pictures under way, since loading would stop them. For administrators.
    """
    return services.models.get(await services.residency.load(model_id))


@admin_router.post(
    "/{model_id}/unload",
    summary="Give a model's memory back",
    operation_id="unload_model",
    responses=documented(404),
)
async def unload_model(model_id: NamedModel, services: ServicesDep) -> ModelView:
    """Take a model out of all memory, once nobody draws with it; the next picture loads it again.

    For administrators.
    """
    return services.models.get(await services.residency.unload(model_id))


@admin_router.delete(
    "/{model_id}",
    status_code=204,
    summary="Remove a model",
    operation_id="remove_model",
    responses=documented(404, 409, 507),
)
async def remove_model(model_id: NamedModel, services: ServicesDep) -> None:
    """Remove a model and what was fetched for it; files that were brought stay.

    For administrators.
    """
    await services.models.remove(model_id)


@admin_router.put(
    "/files/{name}",
    status_code=201,
    summary="Bring a file of weights",
    operation_id="upload_model_file",
    openapi_extra=_BODY,
    responses=documented(409, 413, 507),
)
async def upload_model_file(name: FileName, request: Request, services: ServicesDep) -> ModelFile:
    """Stream a `.safetensors` file into the models' folder, then register it by its name.

    Nothing else is taken: other formats can hold programs. For administrators.
    """
    size = await services.models.upload_file(name, capped(request, MAX_FILE_BYTES))
    return ModelFile(file=name, size_bytes=size)
