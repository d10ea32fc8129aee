"""What the worker has to say, sent by a thread of its own so that no reader holds up a step."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Hashable

from server.domain.errors import GenerationFailedError
from server.engine.messages import DrawFailed, DrawPicture, DrawPreview, DrawProgress, FromWorker
from server.engine.newest import NewestQueue
from server.engine.wire import FrameTooLargeError, encode

log = logging.getLogger(__name__)


def key_of(message: FromWorker) -> Hashable | None:
    """Return what makes `message` replaceable by a newer one of its kind, or None."""
    if isinstance(message, DrawProgress | DrawPreview):
        return message.type, message.draw, message.index
    return None


class Outbox:
    """A line of messages to the HTTP process; any thread may put, one thread sends."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._queue: NewestQueue[FromWorker] = NewestQueue()
        self._some = threading.Condition()

    def put(self, message: FromWorker) -> None:
        """Send `message` soon; progress and previews replace older ones that still wait."""
        with self._some:
            if isinstance(message, DrawPicture | DrawFailed):
                # After the last word on a picture nothing about it is news.
                self._queue.drop(("progress", message.draw, message.index))
                self._queue.drop(("preview", message.draw, message.index))
            self._queue.put(message, key_of(message))
            self._some.notify()

    def send_forever(self) -> int:
        """Send what comes; return 0 once the other side is gone."""
        while True:
            frame = self._frame(self._take())
            try:
                self._end.sendall(frame)
            except OSError:
                return 0

    def _take(self) -> FromWorker:
        with self._some:
            while (message := self._queue.take()) is None:
                self._some.wait()
            return message

    def _frame(self, message: FromWorker) -> bytes:
        try:
            return encode(message)
        except FrameTooLargeError as error:
            log.warning("%s", error)
            if not isinstance(message, DrawPicture):
                raise
            return encode(
                DrawFailed(
                    draw=message.draw,
                    index=message.index,
                    code=GenerationFailedError.code,
                    detail="the finished file is too large to hand over; ask for a smaller size",
                    parameter=None,
                )
            )
