"""From measured seconds to the kernel that is used; free of torch, since doctor tells it, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from server.domain.row_times import RowTime

USUAL = "torch"  # torch's own choice among its kernels
# Below this part of a forward another kernel is not worth the last bits of the picture.
_WORTH = 0.03
MODEL = "attention"  # these points are kept among the row times, which have models
_FORWARD = "forward"
_BETWEEN = ": "


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds that all attention of one forward takes, by kernel; `forward` is all of it.

    Attributes:
        where: the network, its number format and its size.
        tried: every kernel that was there, usable or not.
        seconds: of those that computed the right thing.
    """

    where: str
    tried: tuple[str, ...]
    seconds: Mapping[str, float]
    forward: float

    @property
    def chosen(self) -> str:
        """The fastest kernel, if it saves enough of a forward; else torch's own choice."""
        usual = self.seconds[USUAL]
        best = min(self.seconds, key=lambda name: (self.seconds[name], name))
        return best if usual - self.seconds[best] >= _WORTH * self.forward else USUAL

    def points(self, hardware: str) -> Iterator[RowTime]:
        """Yield what is kept of it."""
        for name, seconds in {**self.seconds, _FORWARD: self.forward}.items():
            yield RowTime(
                hardware=hardware,
                model=MODEL,
                fingerprint=" ".join(self.tried),
                bucket=f"{self.where}{_BETWEEN}{name}",
                rows=1,
                seconds=max(seconds, 1e-9),
            )


def measured_before(points: Iterable[RowTime]) -> Sequence[Measured]:
    """Return what `points` of one hardware tell of attention; other points are left out."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for point in points:
        if point.model == MODEL:
            where, _, name = point.bucket.rpartition(_BETWEEN)
            found.setdefault((where, point.fingerprint), {})[name] = point.seconds
    return [
        Measured(where, tuple(tried.split()), seconds, forward)
        for (where, tried), seconds in found.items()
        if (forward := seconds.pop(_FORWARD, None)) is not None and USUAL in seconds
    ]
