"""Whose turn it is: deficit round-robin between owners, FLOPs as the cost. A pure value machine."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from server.domain.images import Priority

_LOOKED_AT = 64  # units that may be passed by one that fits where they do not
_RANK = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """The smallest thing that waits. Sorts by turn within an owner.

    One picture of one job; for a connection, `count` pictures from `index` on in one call, and
    its cost in `flops` is that count.
    """

    rank: int
    job_id: str
    index: int
    owner: str = field(compare=False)
    model: str = field(compare=False)
    flops: float = field(compare=False)
    count: int = field(compare=False, default=1)

    @property
    def pictures(self) -> tuple[int, ...]:
        """The indexes of its pictures."""
        return tuple(range(self.index, self.index + self.count))


def unit(
    job_id: str,
    index: int,
    *,
    owner: str,
    model: str,
    flops: float,
    priority: Priority,
    count: int = 1,
) -> Unit:
    """Return the unit for picture `index` of a job; ids grow, so equal ranks keep their order."""
    return Unit(_RANK[priority], job_id, index, owner, model, flops, count)


class FairQueue:
    """Units in the order they are due.

    Each owner in turn gets the cost of the dearest waiting head to spend, and keeps what is
    left: over time every owner with work is given the same FLOPs, whatever the size of a single
    picture. Within one owner, priority decides, then age.

    Source: Shreedhar and Varghese 1995, "Efficient fair queueing using deficit round robin".
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[Unit]] = {}  # insertion order is the round's order
        self._deficit: dict[str, float] = {}
        self._order: tuple[Unit, ...] | None = None

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def push(self, new: Unit) -> None:
        """Let `new` wait. A unit that is pushed again takes its old turn by its age."""
        insort(self._waiting.setdefault(new.owner, []), new)
        self._deficit.setdefault(new.owner, 0.0)
        self._order = None

    def discard(self, job_id: str) -> tuple[Unit, ...]:
        """Take out and return all units of a job."""
        found: list[Unit] = []
        for owner, units in list(self._waiting.items()):
            found += (u for u in units if u.job_id == job_id)
            units[:] = (u for u in units if u.job_id != job_id)
            self._forget_if_idle(owner)
        self._order = None
        return tuple(found)

    def pop(self, fits: Callable[[Unit], bool] = lambda _: True) -> Unit | None:
        """Take out the first unit in the order that `fits`; only so many are looked at.

        One that passes others is charged to its owner like any other, so passing wins nothing
        over time.
        """
        ahead = islice(self._shadow().drain(), _LOOKED_AT)
        place, taken = next(((i, u) for i, u in enumerate(ahead) if fits(u)), (0, None))
        if taken is None:
            return None
        self._order = None
        if place == 0:
            return self._next()
        self._waiting[taken.owner].remove(taken)
        self._deficit[taken.owner] -= taken.flops
        self._forget_if_idle(taken.owner)
        return taken

    def order(self) -> tuple[Unit, ...]:
        """Return all waiting units in the order in which `pop` would give them."""
        if self._order is None:
            self._order = tuple(self._shadow().drain())
        return self._order

    def drain(self) -> Iterator[Unit]:
        """Take out unit after unit."""
        while (taken := self._next()) is not None:
            yield taken

    def _shadow(self) -> FairQueue:
        shadow = FairQueue()
        shadow._waiting = {owner: list(units) for owner, units in self._waiting.items()}
        shadow._deficit = dict(self._deficit)
        return shadow

    def _next(self) -> Unit | None:
        if not self._waiting:
            return None
        while True:
            owner, units = next(iter(self._waiting.items()))
            if self._deficit[owner] >= units[0].flops:
                self._deficit[owner] -= units[0].flops
                taken = units.pop(0)
                self._forget_if_idle(owner)
                return taken
            self._end_turn(owner)

    def _end_turn(self, owner: str) -> None:
        # One quantum is the dearest head, so every owner is served within one round.
        self._waiting[owner] = self._waiting.pop(owner)
        self._deficit[owner] += max(units[0].flops for units in self._waiting.values())

    def _forget_if_idle(self, owner: str) -> None:
        if not self._waiting[owner]:
            del self._waiting[owner], self._deficit[owner]
