from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from server.engine import wire
from server.engine.messages import (
    FROM_WORKER,
    DrawFailed,
    DrawPreview,
    DrawProgress,
    FromWorker,
    Taken,
)
from server.engine.outbox import Outbox

Pair = tuple[socket.socket, socket.socket]


def progress(step: int) -> DrawProgress:
    return DrawProgress(draw=1, index=0, step=step, total_steps=5000)


def all_of(end: socket.socket, last: type) -> list[FromWorker]:
    found: list[FromWorker] = []
    while not found or not isinstance(found[-1], last):
        message = wire.receive(end, FROM_WORKER)
        assert message is not None
        found.append(message)
    return found


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_nobody_waits_for_a_reader_that_does_not_read(pair: Pair) -> None:
    ours, theirs = pair
    outbox = Outbox(ours)
    threading.Thread(target=outbox.send_forever, daemon=True).start()
    began = time.monotonic()
    outbox.put(Taken(draw=1))
    for step in range(5000):
        outbox.put(progress(step))
        outbox.put(DrawPreview(draw=1, index=0, data=bytes(20_000)))
    assert time.monotonic() - began < 5  # 100 MB, if anybody kept it all
    outbox.put(DrawFailed(draw=1, index=0, code="x", detail="y", parameter=None))
    said = all_of(theirs, DrawFailed)
    assert said[0] == Taken(draw=1)
    assert len(said) < 1000
    steps = [message.step for message in said if isinstance(message, DrawProgress)]
    assert steps == sorted(steps)


def test_after_the_last_word_on_a_picture_nothing_old_comes(pair: Pair) -> None:
    ours, theirs = pair
    outbox = Outbox(ours)
    outbox.put(progress(1))
    outbox.put(DrawFailed(draw=1, index=0, code="x", detail="y", parameter=None))
    outbox.put(Taken(draw=2))
    threading.Thread(target=outbox.send_forever, daemon=True).start()
    assert [type(message) for message in all_of(theirs, Taken)] == [DrawFailed, Taken]


def test_the_sender_ends_when_nobody_listens_any_more(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    outbox = Outbox(ours)
    outbox.put(Taken(draw=1))
    assert outbox.send_forever() == 0
