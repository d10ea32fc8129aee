"""Source pictures: bring one as a file or by address."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from server.api.auth import CallerDep, ServicesDep
from server.api.bodies import content_type, json_body, multipart_file
from server.api.files import IfNoneMatch, documented_file, file_response
from server.api.lists import Cursor, ItemList, Limit, item_list
from server.api.problems import documented
from server.domain.errors import InvalidRequestError
from server.domain.images import Frozen, Id
from server.services.views import UploadView

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])

UploadId = Annotated[Id, Path(description="Id of an upload")]


class UploadAddress(Frozen):
    """Where to fetch a picture from: a public http or https address."""

    url: str = Field(min_length=1, max_length=4000)


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {
                "schema": UploadAddress.model_json_schema(),
                "example": {"url": "https://example.com/fox.png"},
            },
        },
    }
}


@router.post(
    "",
    status_code=201,
    summary="Bring a picture",
    operation_id="create_upload",
    openapi_extra=_BODY,
    responses=documented(413, 502, 507),
)
async def create_upload(
    request: Request, caller: CallerDep, services: ServicesDep, response: Response
) -> UploadView:
    """Keep a picture to start from: the file in the field `file`, or `{"url": ...}`.

    PNG, JPEG, WebP, GIF, BMP, TIFF and HEIC are read. It is kept as upright PNG in sRGB without
    metadata. Size and pixels are limited before anything is decoded.
    """
    # Read here, not in the signature: before this line nobody but the caller was looked at.
    kind = content_type(request)
    if kind == "multipart/form-data":
        data = await multipart_file(request, max_bytes=services.uploads.max_bytes)
        upload = await services.uploads.add(data, caller)
    elif kind == "application/json":
        address = await json_body(request, UploadAddress)
        upload = await services.uploads.add_from_url(address.url, caller)
    else:
        raise InvalidRequestError(
            "send multipart/form-data with the field 'file', or application/json with 'url'",
            parameter="Content-Type",
        )
    response.headers["Location"] = f"{router.prefix}/{upload.id}"
    return upload


@router.get("", summary="List uploads", operation_id="list_uploads")
async def list_uploads(
    caller: CallerDep, services: ServicesDep, cursor: Cursor = None, limit: Limit = 50
) -> ItemList[UploadView]:
    """Return your uploads, newest first."""
    return item_list(await services.uploads.list(caller, cursor=cursor, limit=limit))


@router.get(
    "/{upload_id}",
    summary="Look at an upload's record",
    operation_id="get_upload",
    responses=documented(404),
)
async def get_upload(upload_id: UploadId, caller: CallerDep, services: ServicesDep) -> UploadView:
    """Return one upload."""
    return await services.uploads.get(upload_id, caller)


@router.get(
    "/{upload_id}/file",
    summary="Fetch an upload",
    operation_id="get_upload_file",
    response_class=Response,
    responses={**documented_file("image/png"), **documented(404)},
)
async def get_upload_file(
    upload_id: UploadId,
    caller: CallerDep,
    services: ServicesDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return the picture as it is kept."""
    return file_response(await services.uploads.file(upload_id, caller), if_none_match)


@router.delete(
    "/{upload_id}",
    status_code=204,
    summary="Delete an upload",
    operation_id="delete_upload",
    responses=documented(404),
)
async def delete_upload(upload_id: UploadId, caller: CallerDep, services: ServicesDep) -> None:
    """Delete an upload for good; jobs that still need it will fail and say so."""
    await services.uploads.delete(upload_id, caller)
