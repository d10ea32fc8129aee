"""Expiring links to one picture: whoever holds one may look, without a key."""

from __future__ import annotations

import hmac
import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from server.api.auth import ServicesDep
from server.api.files import IfNoneMatch, documented_file, file_response
from server.api.images import MEDIA_TYPES, ImageId
from server.api.openai_errors import documented
from server.domain.errors import ForbiddenError

router = APIRouter(prefix="/v1/files/images", tags=["openai"])

LINK_SECONDS = 3600  # as long as OpenAI's own


def signed_link(request: Request, link_key: bytes, image_id: str) -> str:
    """Return an address that opens one picture for an hour.

    Args:
        request: its Host, which was checked, is the one the link leads to.
        link_key: the server's secret for links.
        image_id: a picture of the caller's.
    """
    expires = int(time.time()) + LINK_SECONDS
    path = request.app.url_path_for("open_link", image_id=image_id)
    query = f"expires={expires}&signature={_signature(link_key, image_id, expires)}"
    return f"{request.url.scheme}://{request.url.netloc}{path}?{query}"


@router.get(
    "/{image_id}",
    name="open_link",
    summary="Open a link to a picture",
    operation_id="open_link",
    response_class=Response,
    responses={**documented_file(*MEDIA_TYPES), **documented(400, 403, 404, 500)},
)
async def open_link(
    image_id: ImageId,
    services: ServicesDep,
    expires: Annotated[int, Query(ge=0, le=2**53, description="Seconds since 1970")],
    signature: Annotated[str, Query(max_length=64)],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return the picture of a link that `response_format: url` gave. Needs no key."""
    right = _signature(services.keys.link_key, image_id, expires)
    if not hmac.compare_digest(signature.encode(), right.encode()) or expires < time.time():
        raise ForbiddenError("this link has expired or was changed; ask for the picture again")
    response = file_response(await services.gallery.shared_file(image_id), if_none_match)
    # Chat pages of other origins show it; the signature is what protects it.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _signature(link_key: bytes, image_id: str, expires: int) -> str:
    return hmac.new(link_key, f"{image_id}:{expires}".encode(), "sha256").hexdigest()
