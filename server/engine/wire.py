"""Frames on the socket between the HTTP process and the worker: length, then one msgpack map.

Four bytes of length (big-endian) and at most MAX_FRAME_BYTES of msgpack, which is validated
against the messages' schema before anyone sees it. Nothing here can be made to run code.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from datetime import datetime
from typing import TypeVar

import msgpack
from pydantic import BaseModel, TypeAdapter, ValidationError

MAX_FRAME_BYTES = 64 * 1024**2
_LENGTH = struct.Struct(">I")

T = TypeVar("T")


class WireError(Exception):
    """What came over the socket is no message of ours; the connection is of no more use."""


class FrameTooLargeError(WireError):
    """A frame announces, or a message needs, more than MAX_FRAME_BYTES."""


class MalformedFrameError(WireError):
    """A frame is no msgpack map, breaks the schema, or stops in its middle."""


def encode(message: BaseModel) -> bytes:
    """Return `message` as one frame.

    Raises:
        FrameTooLargeError: it is larger than a frame may be.
    """
    body: bytes = msgpack.packb(message.model_dump(), default=_plain)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLargeError(
            f"a message of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}"
        )
    return _LENGTH.pack(len(body)) + body


def decode(body: bytes, messages: TypeAdapter[T]) -> T:
    """Return the message in a frame's body.

    Raises:
        MalformedFrameError: it is no msgpack, or no message of the schema.
    """
    try:
        return messages.validate_python(msgpack.unpackb(body))
    except ValidationError as error:
        # Without the input: a prompt may be part of it.
        reasons = "; ".join(f"{e['loc']}: {e['msg']}" for e in error.errors(include_input=False))
        raise MalformedFrameError(f"no message of ours: {reasons[:500]}") from None
    except (ValueError, msgpack.UnpackException, TypeError) as error:
        raise MalformedFrameError(f"no msgpack: {type(error).__name__}") from error


def receive(end: socket.socket, messages: TypeAdapter[T]) -> T | None:
    """Return the next message from a blocking socket, or None when the other side is gone.

    Raises:
        WireError: what came is no message.
    """
    header = _receive_exactly(end, _LENGTH.size)
    if header is None:
        return None
    body = _receive_exactly(end, _checked_length(header))
    if body is None:
        raise MalformedFrameError("the connection ended inside a frame")
    return decode(body, messages)


async def read(reader: asyncio.StreamReader, messages: TypeAdapter[T]) -> T | None:
    """Return the next message from a stream, or None when the other side is gone.

    Raises:
        WireError: what came is no message.
    """
    try:
        header = await reader.readexactly(_LENGTH.size)
        body = await reader.readexactly(_checked_length(header))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        if isinstance(error, asyncio.IncompleteReadError) and error.partial:
            raise MalformedFrameError("the connection ended inside a frame") from error
        return None
    return decode(body, messages)


def _checked_length(header: bytes) -> int:
    length: int = _LENGTH.unpack(header)[0]
    if length > MAX_FRAME_BYTES:
        raise FrameTooLargeError(f"a frame of {length} bytes is over {MAX_FRAME_BYTES}")
    return length


def _receive_exactly(end: socket.socket, count: int) -> bytes | None:
    """Return `count` bytes, or None when the connection ended before the first of them."""
    body = bytearray(count)
    view = memoryview(body)
    filled = 0
    while filled < count:
        try:
            got = end.recv_into(view[filled:])
        except ConnectionError:
            got = 0
        if got == 0 and filled == 0:
            return None
        if got == 0:
            raise MalformedFrameError("the connection ended inside a frame")
        filled += got
    return bytes(body)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a message cannot carry {type(value).__name__}")
