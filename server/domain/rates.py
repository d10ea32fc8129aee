"""Seconds per unit of work, learned from pictures that were really drawn."""

from __future__ import annotations

from collections.abc import Mapping

_MEMORY = 0.2  # weight of the newest measurement; about the last ten pictures count


class Rates:
    """Seconds per FLOP for each model on one kind of device; unknown until one was measured."""

    def __init__(self) -> None:
        self._seconds_per_flop: dict[str, float] = {}

    def update(self, known: Mapping[str, float]) -> None:
        """Take over rates that were learned before."""
        self._seconds_per_flop.update(known)

    def learn(self, model: str, flops: float, seconds: float) -> float:
        """Take in one picture and return the model's new rate in seconds per FLOP."""
        fresh = seconds / flops
        old = self._seconds_per_flop.get(model, fresh)
        self._seconds_per_flop[model] = old + _MEMORY * (fresh - old)
        return self._seconds_per_flop[model]

    def seconds(self, model: str, flops: float) -> float | None:
        """Return the expected seconds of work, or None where nothing was measured."""
        rate = self._seconds_per_flop.get(model)
        return None if rate is None else rate * flops
