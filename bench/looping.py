"""The worker's loop in this process, asked over its own socket and ticked by the caller."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Sequence

import torch

from server.domain.images import ResolvedRequest
from server.domain.models import EngineModel
from server.engine.inbox import Inbox
from server.engine.loop import Loop
from server.engine.messages import FROM_WORKER, Cancel, Draw, DrawPicture
from server.engine.outbox import Outbox
from server.engine.residents import Load
from server.engine.wire import encode, receive


class Looping:
    """Draws requests with a `Loop` and notes when their files are there.

    Args:
        device: where it draws.
        load: gives it the model.
        model: what it is told to draw with.
    """

    def __init__(self, device: torch.device, load: Load, model: EngineModel) -> None:
        self._model = model
        self._numbers = itertools.count()
        self._ours, theirs = socket.socketpair()
        outbox = Outbox(theirs)
        self._inbox = Inbox(theirs, outbox)
        self.loop = Loop(self._inbox, outbox, device, load)
        self._done: dict[int, float] = {}
        for work in (self._inbox.read_forever, outbox.send_forever, self._listen):
            threading.Thread(target=work, daemon=True).start()

    def ask(self, asked: Sequence[ResolvedRequest]) -> list[int]:
        """Send requests, and return their numbers once the loop can see them."""
        numbers = []
        for request in asked:
            number = next(self._numbers)
            draw = Draw(
                draw=number, model=self._model, request=request, preview_interval_seconds=0.5
            )
            self._ours.sendall(encode(draw))
            numbers.append(number)
        while not all(map(self._inbox.is_wanted, numbers)):
            time.sleep(0)
        return numbers

    def draw(self, asked: Sequence[ResolvedRequest]) -> None:
        """Draw requests to their ends."""
        self.seconds(asked)

    def seconds(self, asked: Sequence[ResolvedRequest], until: int | None = None) -> float:
        """Return the seconds until the last file is there, or the one at index `until`."""
        started = time.perf_counter()
        numbers = self.ask(asked)
        while any(map(self._inbox.is_wanted, numbers)):
            if self.loop.has_work or self._inbox.has_news:
                self.loop.tick()
            else:  # files are being encoded
                time.sleep(0.0005)
        while not set(numbers) <= self._done.keys():
            time.sleep(0.0005)
        ends = [self._done[number] for number in numbers]
        return (max(ends) if until is None else ends[until]) - started

    def cancel_seconds(self, long: ResolvedRequest) -> float:
        """Return the seconds from a cancel in the middle of a picture to another's first step."""
        (first,) = self.ask([long])
        for _ in range(5):
            self.loop.tick()
        (second,) = self.ask([long])
        started = time.perf_counter()
        self._ours.sendall(encode(Cancel(draw=first)))
        while self._inbox.is_wanted(first):
            time.sleep(0)
        while not any(row.draw == second and row.trajectory.step_index for row in self.loop.rows):
            self.loop.tick()
        taken = time.perf_counter() - started
        self._ours.sendall(encode(Cancel(draw=second)))
        while self._inbox.is_wanted(second):
            time.sleep(0)
        return taken

    def close(self) -> None:
        """End the readers, as when the server is gone."""
        self._ours.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while (message := receive(self._ours, FROM_WORKER)) is not None:
                if isinstance(message, DrawPicture):
                    self._done[message.draw] = time.perf_counter()
