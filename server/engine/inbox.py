"""What the HTTP process asks of the worker, read by a thread of its own at any time."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque

from server.domain.row_times import RowTime
from server.engine.messages import TO_WORKER, Cancel, Chore, Draw, Known, Limits, Ping, Pong
from server.engine.outbox import Outbox
from server.engine.wire import WireError, receive

log = logging.getLogger(__name__)

EXIT_BAD_FRAME = 3


class Inbox:
    """Draws that wait, in order, and which of those under way are still wanted."""

    def __init__(self, end: socket.socket, outbox: Outbox) -> None:
        self._end = end
        self._outbox = outbox
        self._some = threading.Condition()
        self._waiting: deque[Draw] = deque()
        self._chores: deque[Chore] = deque()
        self._nudged = False
        self.known: tuple[RowTime, ...] = ()
        self.limits: Limits | None = None
        self._wanted: dict[int, int] = {}  # pictures of a draw that have no last word yet
        self._busy_since: float | None = time.monotonic()  # with its start

    def read_forever(self) -> int:
        """Take in messages; return the process's exit status once there are no more."""
        try:
            while (message := receive(self._end, TO_WORKER)) is not None:
                match message:
                    case Draw():
                        self._add(message)
                    case Cancel():
                        self._cancel(message.draw)
                    case Limits():
                        self.limits = message
                        self.nudge()
                    case Known():
                        self.known = message.points
                    case Ping():
                        self._outbox.put(self._pong(message))
                    case _:
                        self._add_chore(message)
        except WireError as error:
            log.error("the worker ends: %s", error)  # noqa: TRY400 - its cause is the sender
            return EXIT_BAD_FRAME
        return 0

    def take(self) -> list[Draw]:
        """Return the draws that have come, in order."""
        with self._some:
            taken, self._waiting = list(self._waiting), deque()
            self._nudged = False
        return taken

    def take_chores(self) -> list[Chore]:
        """Return the chores that have come, in order."""
        with self._some:
            taken, self._chores = list(self._chores), deque()
        return taken

    @property
    def has_news(self) -> bool:
        """Whether something has come, or somebody nudged, since the last `take`."""
        return bool(self._waiting or self._chores) or self._nudged

    def wait(self, seconds: float | None = None) -> None:
        """Wait until there is news, or for so long."""
        with self._some:
            self._some.wait_for(lambda: self.has_news, seconds)

    def nudge(self) -> None:
        """End the drawing thread's wait: there is something else to do."""
        with self._some:
            self._nudged = True
            self._some.notify()

    def is_wanted(self, draw: int) -> bool:
        """Return False once `draw` was cancelled or is finished."""
        return draw in self._wanted

    def picture_done(self, draw: int) -> None:
        """Count one picture of `draw` as done or failed; after the last, forget the draw."""
        with self._some:
            left = self._wanted.get(draw, 0) - 1
            if left > 0:
                self._wanted[draw] = left
            else:
                self._wanted.pop(draw, None)

    def busy(self) -> None:
        """Note that the drawing thread begins a piece of work."""
        self._busy_since = time.monotonic()

    def idle(self) -> None:
        """Note that the drawing thread waits for work."""
        self._busy_since = None

    def _add(self, draw: Draw) -> None:
        with self._some:
            self._wanted[draw.draw] = draw.request.num_images
            self._waiting.append(draw)
            self._some.notify()

    def _add_chore(self, chore: Chore) -> None:
        with self._some:
            self._chores.append(chore)
            self._some.notify()

    def _cancel(self, draw: int) -> None:
        with self._some:
            self._wanted.pop(draw, None)
            self._waiting = deque(waiting for waiting in self._waiting if waiting.draw != draw)
            self._nudged = True  # whoever it held back may go on
            self._some.notify()

    def _pong(self, ping: Ping) -> Pong:
        since = self._busy_since
        stalled = 0.0 if since is None else time.monotonic() - since
        return Pong(number=ping.number, stalled_seconds=stalled)
