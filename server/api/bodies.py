"""Every body has a cap. Large ones are read by hand, once the caller is known."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.answers import answer_error
from server.api.problems import invalid_fields
from server.domain.errors import InvalidRequestError, TooLargeError

MAX_JSON_BYTES = 2**20
_BY_HAND = ("/api/v1/uploads", "/api/v1/models/files/")  # these read with a cap of their own
_FORM_OVERHEAD_BYTES = 64 * 2**10  # boundaries and headers around the file
_FIELD = "file"
M = TypeVar("M", bound=BaseModel)


class BodyCap:
    """ASGI middleware that stops a body at MAX_JSON_BYTES, told or as it comes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 at once, or pass on what is short enough."""
        if scope["type"] != "http" or scope["path"].startswith(_BY_HAND):
            await self._app(scope, receive, send)
            return
        taken = 0

        async def receive_capped() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MAX_JSON_BYTES:
                raise HTTPException(413)  # the one error that the framework's readers let through
            return message

        if _declared(Headers(scope=scope)) > MAX_JSON_BYTES:
            error = TooLargeError(f"the body has more than {MAX_JSON_BYTES} bytes")
            await answer_error(scope, error)(scope, receive, send)
        else:
            await self._app(scope, receive_capped, send)


def _declared(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


async def capped(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the body in pieces.

    Raises:
        TooLargeError: it is longer than `max_bytes`, by its own word or as it comes.
    """
    error = TooLargeError(f"the body has more than {max_bytes} bytes, the most taken here")
    if _declared(request.headers) > max_bytes:
        raise error
    taken = 0
    async for piece in request.stream():
        taken += len(piece)
        if taken > max_bytes:
            raise error
        yield piece


async def multipart_file(request: Request, *, max_bytes: int) -> bytes:
    """Return the bytes of the field `file` of a multipart body.

    Raises:
        InvalidRequestError: the form is broken or holds anything else.
        TooLargeError: see `capped`.
    """
    body = capped(request, max_bytes + _FORM_OVERHEAD_BYTES)
    try:
        form = await MultiPartParser(request.headers, body, max_files=1, max_fields=0).parse()
    except (MultiPartException, KeyError) as error:  # KeyError: the boundary is missing
        raise InvalidRequestError("the multipart body is broken", parameter=_FIELD) from error
    file = form.get(_FIELD)
    try:
        if not isinstance(file, UploadFile):
            raise InvalidRequestError(f"the field '{_FIELD}' is missing", parameter=_FIELD)
        return await file.read()
    finally:
        await form.close()


async def json_body(request: Request, form: type[M]) -> M:
    """Return a JSON body as `form`.

    Raises:
        InvalidRequestError: it is not one.
        TooLargeError: see `capped`.
    """
    body = b"".join([piece async for piece in capped(request, MAX_JSON_BYTES)])
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        raise invalid_fields(error) from error
