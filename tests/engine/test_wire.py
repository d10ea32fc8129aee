from __future__ import annotations

import asyncio
import socket
import struct
import threading

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine import wire
from server.engine.messages import (
    FROM_WORKER,
    TO_WORKER,
    Cancel,
    Draw,
    DrawFailed,
    DrawPreview,
    Ping,
    error_of,
)


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.fixture
def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def test_a_message_comes_out_as_it_went_in(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    with ours, theirs:
        preview = DrawPreview(draw=1, index=0, data=bytes(range(256)) * 4000)
        sender = threading.Thread(target=ours.sendall, args=(wire.encode(preview),))
        sender.start()
        assert wire.receive(theirs, FROM_WORKER) == preview
        sender.join()
        ours.close()
        assert wire.receive(theirs, FROM_WORKER) is None


BAD_BODIES = {
    "no msgpack": b"\xc1",
    "trailing bytes": msgpack.packb({"type": "ping", "number": 1}) + b"x",
    "no map": msgpack.packb([1, 2]),
    "unknown type": msgpack.packb({"type": "exec", "code": "1"}),
    "unknown field": msgpack.packb({"type": "ping", "number": 1, "more": 2}),
    "wrong type": msgpack.packb({"type": "ping", "number": "one"}),
    "an extension": msgpack.packb({"type": "ping", "number": msgpack.ExtType(4, b"x")}),
    "broken text": b"\x81\xa4type\xa1\xff",
    "deep nesting": b"\x91" * 5000,
    "a huge promise": b"\xdd\xff\xff\xff\xff",
    "empty": b"",
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_what_is_no_message_is_a_malformed_frame(body: bytes) -> None:
    with pytest.raises(wire.MalformedFrameError):
        wire.decode(body, TO_WORKER)


@given(st.binary(max_size=200))
def test_no_bytes_get_past_the_schema_or_raise_anything_else(body: bytes) -> None:
    try:
        message = wire.decode(body, TO_WORKER)
    except wire.MalformedFrameError:
        return
    assert isinstance(message, Draw | Cancel | Ping)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=9,
)


@given(st.sampled_from(["draw", "cancel", "ping", "pong"]), st.dictionaries(st.text(), _PLAIN))
def test_no_map_gets_past_the_schema_either(kind: str, fields: dict[str, object]) -> None:
    with pytest.raises(wire.MalformedFrameError):
        wire.decode(msgpack.packb({**fields, "type": kind, "more": 1}), TO_WORKER)


def test_the_error_never_repeats_what_was_sent() -> None:
    body = msgpack.packb({"type": "ping", "number": "my secret prompt"})
    with pytest.raises(wire.MalformedFrameError) as refused:
        wire.decode(body, TO_WORKER)
    assert "secret" not in str(refused.value)


def test_a_frame_that_announces_too_much_is_refused_before_it_is_read(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    with ours, theirs:
        ours.sendall(struct.pack(">I", wire.MAX_FRAME_BYTES + 1))
        with pytest.raises(wire.FrameTooLargeError):
            wire.receive(theirs, TO_WORKER)


def test_a_message_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(wire.FrameTooLargeError):
        wire.encode(DrawPreview(draw=1, index=0, data=bytes(wire.MAX_FRAME_BYTES)))


@pytest.mark.parametrize("cut", [1, 3, 4, 9])
def test_an_end_inside_a_frame_is_malformed(
    pair: tuple[socket.socket, socket.socket], cut: int
) -> None:
    ours, theirs = pair
    with theirs:
        with ours:
            ours.sendall(wire.encode(Cancel(draw=7))[:cut])
        with pytest.raises(wire.MalformedFrameError):
            wire.receive(theirs, TO_WORKER)


async def test_the_asyncio_end_reads_the_same_frames(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    reader, writer = await asyncio.open_connection(sock=theirs)
    ours.sendall(wire.encode(Ping(number=1)) + wire.encode(Cancel(draw=2)))
    assert await wire.read(reader, TO_WORKER) == Ping(number=1)
    assert await wire.read(reader, TO_WORKER) == Cancel(draw=2)
    ours.sendall(b"\x00\x00")
    ours.close()
    with pytest.raises(wire.MalformedFrameError):
        await wire.read(reader, TO_WORKER)
    assert await wire.read(reader, TO_WORKER) is None
    writer.close()
    await writer.wait_closed()


async def test_the_asyncio_end_refuses_a_frame_that_announces_too_much(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    reader, writer = await asyncio.open_connection(sock=theirs)
    with ours:
        ours.sendall(framed(b"")[:0] + b"\xff\xff\xff\xff")
        with pytest.raises(wire.FrameTooLargeError):
            await wire.read(reader, FROM_WORKER)
    writer.close()
    await writer.wait_closed()


def test_an_error_that_nobody_knows_is_a_failed_generation() -> None:
    failed = DrawFailed(draw=1, index=0, code="surprise", detail="x", parameter=None)
    assert error_of(failed).code == "generation-failed"
