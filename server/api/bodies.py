"""Every body has a cap. Large ones are read by hand, once the caller is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.answers import answer_error
from server.api.problems import invalid_fields
from server.domain.errors import InvalidRequestError, StorageFullError, TooLargeError

MAX_JSON_BYTES = 2**20
# These read with a cap of their own.
_BY_HAND = ("/api/v1/uploads", "/api/v1/adapters", "/api/v1/models/files/", "/v1/images/edits")
_FORM_OVERHEAD_BYTES = 64 * 2**10  # fields, boundaries and headers around the files
_MAX_FIELD_BYTES = 32 * 2**10
_PIECE_BYTES = 2**20
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


def content_type(request: Request) -> str:
    """Return what the body is by its own word, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Multipart:
    """A multipart body, taken apart in order; a name may stand more than once."""

    fields: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class MultipartCaps:
    """The most that a multipart body may hold; checked while it comes in."""

    files: int
    fields: int
    file_bytes: int
    all_bytes: int


async def multipart(request: Request, caps: MultipartCaps) -> Multipart:
    """Return a multipart body; nothing in it is decoded.

    Raises:
        InvalidRequestError: the form is broken, or has too many parts.
        TooLargeError: a file, or all together, are too large; see `capped`.
    """
    async with _parts(request, caps) as parts:
        return Multipart(
            fields=tuple((name, part) for name, part in parts if isinstance(part, str)),
            files=tuple([(n, await p.read()) for n, p in parts if isinstance(p, UploadFile)]),
        )


@asynccontextmanager
async def _parts(
    request: Request, caps: MultipartCaps
) -> AsyncGenerator[Sequence[tuple[str, str | UploadFile]], None]:
    """Take a multipart body in; what is large of it lies in temporary files until the end."""
    body = capped(request, caps.all_bytes + _FORM_OVERHEAD_BYTES)
    try:
        form = await _CappedParser(request.headers, body, caps).parse()
    except MultiPartException as error:
        raise InvalidRequestError(f"the multipart body cannot be read: {error.message}") from error
    except KeyError as error:
        raise InvalidRequestError("the multipart body has no boundary") from error
    except OSError as error:
        raise StorageFullError(
            f"the folder for temporary files takes no more ({error.strerror}); free some space, "
            "or set TMPDIR to another disk"
        ) from error
    try:
        yield form.multi_items()
    finally:
        await form.close()


class _CappedParser(MultiPartParser):
    """The framework's parser, which caps fields but not files."""

    def __init__(
        self, headers: Headers, stream: AsyncGenerator[bytes, None], caps: MultipartCaps
    ) -> None:
        super().__init__(
            headers,
            stream,
            max_files=caps.files,
            max_fields=caps.fields,
            max_part_size=_MAX_FIELD_BYTES,
        )
        self._max_file_bytes = caps.file_bytes
        self._part_bytes = 0

    def on_part_begin(self) -> None:
        self._part_bytes = 0
        super().on_part_begin()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._part_bytes += end - start
        if self._part_bytes > self._max_file_bytes:
            raise TooLargeError(f"a file has more than {self._max_file_bytes} bytes, the most here")
        super().on_part_data(data, start, end)


async def multipart_file(request: Request, *, max_bytes: int) -> bytes:
    """Return the bytes of the field `file` of a multipart body.

    Raises:
        InvalidRequestError: the form is broken or holds anything else.
        TooLargeError: see `multipart`.
    """
    caps = MultipartCaps(files=1, fields=0, file_bytes=max_bytes, all_bytes=max_bytes)
    found = (await multipart(request, caps)).files
    if not found or found[0][0] != _FIELD:
        raise InvalidRequestError(f"the field '{_FIELD}' is missing", parameter=_FIELD)
    return found[0][1]


@dataclass(frozen=True, slots=True)
class LargeFile:
    """A file that is not held in memory, and the text fields beside it."""

    name: str
    fields: Mapping[str, str]
    chunks: AsyncIterator[bytes]


@asynccontextmanager
async def multipart_large_file(
    request: Request, *, max_bytes: int, fields: Sequence[str]
) -> AsyncGenerator[LargeFile, None]:
    """Take in the field `file` of a multipart body, with the text fields that may be beside it.

    Raises:
        InvalidRequestError: the form is broken or holds anything else.
        TooLargeError: see `multipart`.
        StorageFullError: there is no room for it.
    """
    caps = MultipartCaps(files=1, fields=len(fields), file_bytes=max_bytes, all_bytes=max_bytes)
    async with _parts(request, caps) as parts:
        said = {name: part for name, part in parts if isinstance(part, str)}
        files = [(name, part) for name, part in parts if isinstance(part, UploadFile)]
        strange = next((name for name in said if name not in fields), None)
        if strange is not None:
            raise InvalidRequestError(f"there is no field '{strange[:100]}'", parameter=strange)
        if not files or files[0][0] != _FIELD:
            raise InvalidRequestError(f"the field '{_FIELD}' is missing", parameter=_FIELD)
        file = files[0][1]
        yield LargeFile(file.filename or "", said, _pieces(file))


async def _pieces(file: UploadFile) -> AsyncGenerator[bytes, None]:
    while piece := await file.read(_PIECE_BYTES):
        yield piece


async def json_body(request: Request, form: type[M], *, max_bytes: int = MAX_JSON_BYTES) -> M:
    """Return a JSON body as `form`.

    Raises:
        InvalidRequestError: it is not one.
        TooLargeError: see `capped`.
    """
    body = b"".join([piece async for piece in capped(request, max_bytes)])
    try:
        if len(body) > MAX_JSON_BYTES:  # pictures in base64 would hold the event loop up
            return await asyncio.to_thread(form.model_validate_json, body)
        return form.model_validate_json(body)
    except ValidationError as error:
        raise invalid_fields(error) from error
