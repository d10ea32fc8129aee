"""Answering with a picture's bytes: caches keep them, since a picture never changes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Response

from server.services.gallery import FileView

IfNoneMatch = Annotated[
    str | None, Header(max_length=1000, description="ETag of a copy you have: 304 when it is good")
]
_YEAR_SECONDS = 31_536_000
_CACHE = f"private, max-age={_YEAR_SECONDS}, immutable"


def file_response(
    file: FileView, if_none_match: str | None, *, download_as: str | None = None
) -> Response:
    """Answer a file, or 304 where the caller's copy is the same.

    Args:
        file: its bytes, media type and content hash.
        if_none_match: the header.
        download_as: a file name without suffix, for browsers to save; None: to look at.
    """
    etag = f'"{file.sha256}"'
    headers = {"ETag": etag, "Cache-Control": _CACHE}
    if etag in [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]:
        return Response(status_code=304, headers=headers)
    if download_as is not None:
        name = f"{download_as}.{file.media_type.removeprefix('image/')}"
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(file.data, headers=headers, media_type=file.media_type)


def documented_file(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's words for a file of one of `media_types`, or 304."""
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {
        200: {
            "description": "The file",
            "content": dict.fromkeys(media_types, schema),
            "headers": {"ETag": {"schema": {"type": "string"}}},
        },
        304: {"description": "Your copy is good"},
    }
