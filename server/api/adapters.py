"""Adapters: everyone lists and draws with them, administrators bring and remove them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from server.api.auth import ServicesDep
from server.api.bodies import content_type, multipart_large_file
from server.api.lists import ItemList
from server.api.problems import documented
from server.domain.errors import InvalidRequestError
from server.domain.images import AdapterId
from server.services.views import AdapterView

router = APIRouter(prefix="/api/v1/adapters", tags=["adapters"])
admin_router = APIRouter(prefix="/api/v1/adapters", tags=["adapters"])

NamedAdapter = Annotated[AdapterId, Path(description="Id of an adapter")]

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "id": {
                            "type": "string",
                            "description": "How requests name it; absent: made of the file's name",
                        },
                    },
                }
            }
        },
    }
}


@router.get("", summary="List adapters", operation_id="list_adapters")
async def list_adapters(services: ServicesDep) -> ItemList[AdapterView]:
    """Return every adapter that can be drawn with, by name."""
    return ItemList(items=await services.adapters.list(), next_cursor=None)


@router.get(
    "/{adapter_id}",
    summary="Look at an adapter",
    operation_id="get_adapter",
    responses=documented(404),
)
async def get_adapter(adapter_id: NamedAdapter, services: ServicesDep) -> AdapterView:
    """Return one adapter: for which family of models it is, and how large."""
    return await services.adapters.get(adapter_id)


@admin_router.post(
    "",
    status_code=201,
    summary="Bring an adapter",
    operation_id="add_adapter",
    openapi_extra=_BODY,
    responses=documented(409, 413, 507),
)
async def add_adapter(request: Request, services: ServicesDep, response: Response) -> AdapterView:
    """Keep the LoRA in the field `file`, a `.safetensors` file for SDXL or FLUX.

    Names of diffusers, PEFT, kohya, ComfyUI and BFL are read. It can be drawn with at once. Its
    header is checked now; whether it fits a model turns out with the first picture. For
    administrators.
    """
    if content_type(request) != "multipart/form-data":
        raise InvalidRequestError(
            "send multipart/form-data with the field 'file'", parameter="Content-Type"
        )
    adapters = services.adapters
    async with multipart_large_file(request, max_bytes=adapters.max_bytes, fields=("id",)) as file:
        added = await adapters.add(
            file.chunks, file_name=file.name, adapter_id=file.fields.get("id")
        )
    response.headers["Location"] = f"{router.prefix}/{added.id}"
    return added


@admin_router.delete(
    "/{adapter_id}",
    status_code=204,
    summary="Remove an adapter",
    operation_id="remove_adapter",
    responses=documented(404, 409, 507),
)
async def remove_adapter(adapter_id: NamedAdapter, services: ServicesDep) -> None:
    """Remove an adapter and its file; pictures drawn with it stay. For administrators."""
    await services.adapters.remove(adapter_id)
