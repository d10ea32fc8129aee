"""How much a model in memory is worth: what its loading costs, times how much it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K")

_HALF_LIFE_SECONDS = 600.0  # a use counts half after that time


@dataclass(slots=True)
class Worth:
    """Of one model.

    Attributes:
        load_seconds: what it takes to have it again; measured.
        uses: of late; each fades with time.
        used_at: the last time, on the clock of the calls.
    """

    load_seconds: float
    uses: float
    used_at: float

    def use(self, now: float) -> None:
        """Count a use."""
        self.uses = self._faded(now) + 1
        self.used_at = now

    def last(self, now: float) -> None:
        """Count no use more: the last one goes on."""
        self.uses = self._faded(now)
        self.used_at = now

    def at(self, now: float) -> float:
        """Return the seconds of loading that keeping it should save; compare it with others'."""
        return self.load_seconds * self._faded(now)

    def _faded(self, now: float) -> float:
        return self.uses * math.exp2(-(now - self.used_at) / _HALF_LIFE_SECONDS)


def least_valuable(models: Mapping[K, Worth], now: float) -> list[K]:
    """Return the models' keys, the first to leave first; of equals the one used longest ago."""
    return sorted(models, key=lambda key: (models[key].at(now), models[key].used_at))
