"""Finished pictures: list, look at, fetch, delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BeforeValidator

from server.api.auth import CallerDep, ServicesDep
from server.api.files import IfNoneMatch, documented_file, file_response
from server.api.lists import Cursor, ItemList, Limit, item_list
from server.api.problems import documented
from server.domain.images import Id, ImageFormat, ModelId
from server.services.gallery import ThumbnailSize
from server.services.views import ImageView

router = APIRouter(prefix="/api/v1/images", tags=["images"])

ImageId = Annotated[Id, Path(description="Id of a picture")]


def _number(text: object) -> object:
    """Return what an address says as a number; a Literal takes nothing else."""
    return int(text) if isinstance(text, str) and text.isdecimal() else text


MEDIA_TYPES = tuple(kind.media_type for kind in ImageFormat)


@router.get("", summary="List pictures", operation_id="list_images")
async def list_images(
    caller: CallerDep,
    services: ServicesDep,
    cursor: Cursor = None,
    limit: Limit = 50,
    query: Annotated[
        str | None, Query(max_length=200, description="Words of the prompt, or how they begin")
    ] = None,
    model: Annotated[ModelId | None, Query(description="Only pictures of this model")] = None,
) -> ItemList[ImageView]:
    """Return your pictures, newest first."""
    page = await services.gallery.images(
        caller, cursor=cursor, limit=limit, query=query, model=model
    )
    return item_list(page)


@router.get(
    "/{image_id}",
    summary="Look at a picture's record",
    operation_id="get_image",
    responses=documented(404),
)
async def get_image(image_id: ImageId, caller: CallerDep, services: ServicesDep) -> ImageView:
    """Return one picture with its seed and recipe."""
    return await services.gallery.image(image_id, caller)


@router.get(
    "/{image_id}/file",
    summary="Fetch a picture",
    operation_id="get_image_file",
    response_class=Response,
    responses={**documented_file(*MEDIA_TYPES), **documented(404)},
)
async def get_image_file(
    image_id: ImageId,
    caller: CallerDep,
    services: ServicesDep,
    if_none_match: IfNoneMatch = None,
    *,
    download: Annotated[bool, Query(description="Save it instead of looking at it")] = False,
) -> Response:
    """Return the file as it was made, with its recipe inside."""
    file = await services.gallery.file(image_id, caller)
    name = f"greenroom-{image_id}" if download else None
    return file_response(file, if_none_match, download_as=name)


@router.get(
    "/{image_id}/thumbnail",
    summary="Fetch a small copy",
    operation_id="get_image_thumbnail",
    response_class=Response,
    responses={**documented_file("image/webp"), **documented(404)},
)
async def get_image_thumbnail(
    image_id: ImageId,
    caller: CallerDep,
    services: ServicesDep,
    if_none_match: IfNoneMatch = None,
    size: Annotated[
        ThumbnailSize, BeforeValidator(_number), Query(description="Longer side in pixels")
    ] = 256,
) -> Response:
    """Return a WebP whose longer side is `size`."""
    file = await services.gallery.thumbnail(image_id, size, caller)
    return file_response(file, if_none_match)


@router.delete(
    "/{image_id}",
    status_code=204,
    summary="Delete a picture",
    operation_id="delete_image",
    responses=documented(404),
)
async def delete_image(image_id: ImageId, caller: CallerDep, services: ServicesDep) -> None:
    """Delete a picture, its record and its file for good."""
    await services.gallery.delete(image_id, caller)
