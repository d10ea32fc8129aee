"""How long a forward of so many rows takes: measured once for each model, size and device."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydantic import Field

from server.domain.images import Frozen, ModelId


class RowTime(Frozen):
    """One measured point of a curve.

    `hardware` is the device and the software that were measured, `bucket` the shapes of a row;
    `rows` counts rows of the network, of which a guided picture has two.
    """

    hardware: str = Field(max_length=300)
    model: ModelId
    fingerprint: str = Field(max_length=200)
    bucket: str = Field(max_length=300)
    rows: int = Field(ge=1)
    seconds: float = Field(gt=0)


Place = tuple[str, str, str, str, int]


class RowTimes:
    """All points that are known; whoever keeps them is told of new ones.

    Args:
        on_learn: called with each point that was not known.
    """

    def __init__(self, on_learn: Callable[[RowTime], None] = lambda _: None) -> None:
        self._known: dict[Place, RowTime] = {}
        self._on_learn = on_learn

    def update(self, known: Iterable[RowTime]) -> None:
        """Take over points that were measured before."""
        self._known.update((_place(point), point) for point in known)

    def of(self, hardware: str) -> tuple[RowTime, ...]:
        """Return what was measured on `hardware`."""
        return tuple(point for point in self._known.values() if point.hardware == hardware)

    def learn(self, point: RowTime) -> None:
        """Take in a new point."""
        self._known[_place(point)] = point
        self._on_learn(point)


def _place(point: RowTime) -> Place:
    return point.hardware, point.model, point.fingerprint, point.bucket, point.rows
