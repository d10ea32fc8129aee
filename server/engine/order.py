"""Whose step comes next: the shortest remaining work first, with ageing. Values only."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

# A picture that has this many seconds of work left goes before one that arrives so many times
# later with nothing to do: no stream of short pictures holds a long one up for ever.
PATIENCE = 4.0


@dataclass(frozen=True, slots=True)
class Place:
    """What decides a picture's turn.

    Attributes:
        bucket: pictures of one bucket fit into one forward.
        arrived_at: in seconds of any steady clock.
        seconds_left: work that it still needs, alone.
        seconds_done: work that it has had; only the rest of its time did it wait.
    """

    bucket: Hashable
    arrived_at: float
    seconds_left: float
    seconds_done: float = 0.0

    @property
    def turn(self) -> float:
        """The smallest is next. It moves forward with every step and never back."""
        return self.arrived_at + self.seconds_done + PATIENCE * self.seconds_left


def in_turn(places: Sequence[Place]) -> list[int]:
    """Return the indexes of the pictures that may share the next forward, most urgent first.

    They are those of the bucket of the most urgent one. Equal turns keep their order.
    """
    turns = sorted(range(len(places)), key=lambda index: places[index].turn)
    return [index for index in turns if places[index].bucket == places[turns[0]].bucket]
