"""Gives every network the kernel that suits its device and size; measures what is not known."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from server.domain.row_times import RowTime
from server.engine.attention.choice import USUAL, Measured, measured_before
from server.engine.attention.kernels import kernels
from server.engine.attention.measuring import Recorder, seconds_of, settle
from server.engine.attention.processors import Site

log = logging.getLogger(__name__)


class Attention:
    """Measures while the first picture of a kind takes its first step, once on each hardware.

    Args:
        device: where networks compute.
        hardware: what measurements hold for.
        known: gives what earlier processes measured on it.
        learn: takes what is measured now.
    """

    def __init__(
        self,
        device: torch.device,
        hardware: str,
        known: Callable[[], Sequence[RowTime]],
        learn: Callable[[RowTime], None],
    ) -> None:
        self._device = device
        self._hardware = hardware
        self._known = known
        self._learn = learn
        self._kernels = kernels(device)
        self._chosen: dict[str, str] = {}

    @contextmanager
    def suited(self, site: Site, latents: torch.Tensor) -> Iterator[None]:
        """Run the forwards inside, of rows like `latents`, with the kernel that suits them.

        The first ones of a kind run as always, and what they use is measured after them.
        """
        where = f"{site.where}, about {_about(latents)} numbers"
        chosen = self._chosen.get(where) or self._from_before(where)
        if chosen is not None:
            site.use(None if chosen == USUAL else self._kernels[chosen])
            yield
            return
        recorder = Recorder()
        site.use(recorder)
        settle(self._device)
        started = time.perf_counter()
        try:
            yield
            settle(self._device)
        finally:
            site.use(None)
        if recorder.shapes:
            self._measure(where, recorder, time.perf_counter() - started, latents.dtype)

    def _from_before(self, where: str) -> str | None:
        for measured in measured_before(self._known()):
            if measured.where == where and measured.tried == self._tried:
                self._chosen[where] = measured.chosen
        return self._chosen.get(where)

    def _measure(self, where: str, seen: Recorder, forward: float, dtype: torch.dtype) -> None:
        seconds = seconds_of(self._kernels, seen.shapes, self._device, dtype)
        if USUAL not in seconds:  # too little memory just now: another forward will tell
            return
        measured = Measured(where, self._tried, seconds, forward)
        self._chosen[where] = measured.chosen
        log.info("attention of %s: %s", where, measured.chosen)
        for point in measured.points(self._hardware):
            self._learn(point)

    @property
    def _tried(self) -> tuple[str, ...]:
        return tuple(sorted(self._kernels))


def _about(latents: torch.Tensor) -> int:
    """Return the power of two that is nearest to how many numbers `latents` have."""
    return int(2 ** round(math.log2(latents.numel())))
