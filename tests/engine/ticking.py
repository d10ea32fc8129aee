"""The worker's drawing loop in this process, so that a test decides when it ticks."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from server.domain.models import EngineModel
from server.domain.planning import Offer
from server.domain.row_times import RowTime
from server.engine import wire
from server.engine.drawing import Drawing
from server.engine.inbox import Inbox
from server.engine.loading import load
from server.engine.loop import Loop
from server.engine.messages import (
    FROM_WORKER,
    Cancel,
    Chore,
    Done,
    Draw,
    DrawAdapter,
    DrawFailed,
    DrawPicture,
    DrawProgress,
    FromWorker,
    Known,
    Limits,
    Measured,
    Pong,
    Sources,
    ToWorker,
)
from server.engine.messages import Residents as ResidentsMessage
from server.engine.outbox import Outbox
from server.engine.residents import Load, Residents
from tests.engine.drawing import request


class Ticking:
    """A loop with a real socket to a listener that notes all it says."""

    def __init__(
        self,
        models: dict[str, EngineModel],
        preview_interval_seconds: float = 60,
        load: Load = load,
        offer: Offer | None = None,
        device: str = "cpu",
    ) -> None:
        self._models = models
        self._preview_interval_seconds = preview_interval_seconds
        self._ours, self._theirs = socket.socketpair()
        self._outbox = outbox = Outbox(self._theirs)
        self._inbox = Inbox(self._theirs, outbox)
        self._loop = Loop(self._inbox, outbox, torch.device(device), load, offer)
        self.said: list[FromWorker] = []
        self._some = threading.Condition()
        self._threads = [
            threading.Thread(target=work, daemon=True)
            for work in (self._listen, self._inbox.read_forever, outbox.send_forever)
        ]
        for thread in self._threads:
            thread.start()

    def draw(
        self,
        number: int,
        model: str = "tiny",
        image: bytes | None = None,
        adapters: tuple[DrawAdapter, ...] = (),
        **values: Any,
    ) -> None:
        """Ask for pictures, and wait until the loop can see the request."""
        message = Draw(
            draw=number,
            model=self._models[model],
            request=request(model=model, **values),
            sources=Sources(image=image),
            adapters=adapters,
            preview_interval_seconds=self._preview_interval_seconds,
        )
        self._send(message, lambda: self._inbox.is_wanted(number))

    def cancel(self, number: int) -> None:
        self._send(Cancel(draw=number), lambda: not self._inbox.is_wanted(number))

    def limits(self, device_bytes: int | None = None, main_bytes: int | None = None) -> None:
        """Give the worker so much memory, and wait until it has heard of it."""
        limits = Limits(device_bytes=device_bytes, main_bytes=main_bytes, keep_alive_seconds=None)
        self._send(limits, lambda: self._inbox.limits == limits)

    def chore(self, chore: Chore) -> None:
        self._send(chore, lambda: self._inbox.has_news)

    def done(self, chore: int) -> Done | None:
        """Return the answer to a chore, if it was given."""
        with self._some:
            answers = [one for one in self.said if isinstance(one, Done) and one.chore == chore]
        return answers[0] if answers else None

    @property
    def beside(self) -> tuple[str, ...]:
        """Models in main memory, as the loop said last."""
        said = [message for message in self.said if isinstance(message, ResidentsMessage)]
        return said[-1].beside

    @property
    def residents(self) -> Residents:
        return self._loop.residents

    def knows(self, points: tuple[RowTime, ...]) -> None:
        self._send(Known(points=points), lambda: self._inbox.known == points)

    def tick(self, times: int = 1) -> None:
        with torch.inference_mode():
            for _ in range(times):
                self._loop.tick()

    def until_done(self, *numbers: int) -> dict[int, DrawPicture | DrawFailed]:
        """Tick until every one of these draws has its last word."""
        while any(self._inbox.is_wanted(number) for number in numbers):
            if self.is_busy:
                self.tick()
            else:  # it is being encoded
                threading.Event().wait(0.001)
        self._wait(lambda: set(numbers) <= self._ended().keys())
        return {number: self._ended()[number] for number in numbers}

    @property
    def is_busy(self) -> bool:
        """Whether a tick would do something now."""
        return self._loop.has_work or self._inbox.has_news

    @property
    def has_chores(self) -> bool:
        return self._loop.has_chores

    @property
    def rows(self) -> Sequence[Drawing]:
        return self._loop.rows

    def steps(self, number: int) -> int:
        """Return how far a draw is, as far as the loop has decided."""
        row = next((row for row in self.rows if row.draw == number), None)
        return 0 if row is None else row.trajectory.step_index

    def measured(self) -> list[RowTime]:
        """Return the points of rows against time; attention's are another matter."""
        return [
            message.point
            for message in self.said
            if isinstance(message, Measured) and message.point.model in self._models
        ]

    def progress_of(self, number: int) -> list[int]:
        return [
            message.step
            for message in self.said
            if isinstance(message, DrawProgress) and message.draw == number
        ]

    def close(self) -> None:
        self._ours.shutdown(socket.SHUT_RDWR)  # both readers end, as when the server is gone
        self._outbox.put(Pong(number=0, stalled_seconds=0))  # and so does the sender
        for thread in self._threads:
            thread.join(10)
        self._ours.close()
        self._theirs.close()

    def _send(self, message: ToWorker, seen: Callable[[], bool]) -> None:
        self._ours.sendall(wire.encode(message))
        for _ in range(10_000):
            if seen():
                return
            threading.Event().wait(0.001)
        raise TimeoutError(message.type)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # closed in the middle of a frame
            while (message := wire.receive(self._ours, FROM_WORKER)) is not None:
                with self._some:
                    self.said.append(message)
                    self._some.notify_all()

    def _wait(self, holds: Callable[[], bool]) -> None:
        with self._some:
            if not self._some.wait_for(holds, 60):
                raise TimeoutError(str(self.said[-3:]))

    def _ended(self) -> dict[int, DrawPicture | DrawFailed]:
        return {
            message.draw: message
            for message in self.said
            if isinstance(message, DrawPicture | DrawFailed)
        }


@contextmanager
def memory_for(rows: int, kind: type[torch.nn.Module]) -> Iterator[list[int]]:
    """Give modules of `kind` memory for forwards of at most `rows`; yields the sizes tried.

    A device that is full raises this very error from inside the network.
    """
    tried: list[int] = []

    def check(module: torch.nn.Module, arguments: Any) -> None:
        if isinstance(module, kind):
            tried.append(len(arguments[0]))
            if len(arguments[0]) > rows:
                raise torch.OutOfMemoryError("simulated: no memory for so many rows")

    hook = register_module_forward_pre_hook(check)
    try:
        yield tried
    finally:
        hook.remove()
