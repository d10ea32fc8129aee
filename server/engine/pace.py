"""How long ticks take on the device, without making the device wait for the answer."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

Report = Callable[[float], None]


class Pace:
    """Times ticks, and keeps the host at most one tick ahead of the device.

    Further ahead, a cancel or a new picture would wait for all that was already launched. On the
    CPU there is nothing to run ahead of.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._began = 0.0
        self._start: torch.cuda.Event | None = None
        self._under_way: tuple[torch.cuda.Event, torch.cuda.Event, Report] | None = None

    def begin(self) -> None:
        """Note that a tick's work is launched from here on."""
        if self._is_cuda:
            self._start = _mark()
        self._began = time.perf_counter()

    def end(self, report: Report) -> None:
        """Note that all of it is launched; `report` gets its seconds, now or with the next tick."""
        if self._start is None:
            report(time.perf_counter() - self._began)
            return
        launched = (self._start, _mark(), report)
        self.settle()
        self._start, self._under_way = None, launched

    def settle(self) -> None:
        """Wait for the tick before and report its seconds."""
        if self._under_way is None:
            return
        start, end, report = self._under_way
        self._under_way = None
        end.synchronize()
        report(start.elapsed_time(end) / 1000)


def _mark() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event
