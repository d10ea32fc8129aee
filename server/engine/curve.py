"""How many pictures a tick should take: read off the measured curve of seconds against rows."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from server.domain.models import EngineModel
from server.domain.row_times import RowTime

MOST_ROWS = 16  # of one forward; beyond, no device gains and every cancel waits longer
_SAMPLES = 3
# Below this gain a larger forward only makes everyone wait for everyone.
_WORTH = 0.97
_LOOK_AGAIN = 64  # one tick in so many is in a size that was not measured for long
_NEWS = 0.2  # a settled time that changes by less need not be kept anew
_LIMIT_SECONDS = 300.0
_KEPT = 256  # curves; every size that is asked for has one


class RowCurve:
    """Seconds of one forward by its number of rows, for one model and one bucket.

    It is measured with real work: while a size is unknown that the waiting pictures could fill,
    they are drawn in that size, in turn with the others, so that other load on the machine falls
    on all sizes alike. The least of three times counts, and then a size is settled: it is measured
    on, and now and then another size gets a turn, so that no spoilt measurement stays for ever.

    Args:
        known: sizes that were settled before.
        now: a clock in seconds.
    """

    def __init__(
        self,
        known: Mapping[int, float] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settled: dict[int, float] = dict(known or {})
        self._told: dict[int, float] = dict(self._settled)
        self._samples: dict[int, list[float]] = {}
        self._ticks = 0
        self._measured_at: dict[int, int] = {}
        self._now = now
        self._limit: tuple[int, float] | None = None

    def pictures(self, rows: Sequence[int]) -> int:
        """Return how many pictures the next tick takes, at least 1.

        Args:
            rows: how many rows each picture has, the most urgent picture first.
        """
        sizes = [size for size in accumulate(rows) if size <= self._most_rows()]
        if len(sizes) <= 1:
            return 1
        unknown = self._to_try(sizes)
        if unknown:
            return 1 + sizes.index(min(unknown, key=lambda size: len(self._samples.get(size, ()))))
        known = [count for count, size in enumerate(sizes, 1) if size in self._settled]
        self._ticks += 1
        if self._ticks % _LOOK_AGAIN == 0:
            return min(known, key=lambda count: self._measured_at.get(sizes[count - 1], 0))
        ends = {count: self._completions(sizes, count, len(rows)) for count in known}
        # One after the other is the measure of what is allowed.
        bearable = ends[known[0]].mean
        allowed = [count for count in known if ends[count].mean <= bearable]
        return min(allowed, key=lambda count: (ends[count].last, ends[count].mean))

    def learn(self, rows: int, seconds: float) -> float | None:
        """Take in how long a forward took; returns the size's time when that is news."""
        self._measured_at[rows] = self._ticks
        samples = self._samples.setdefault(rows, [])
        samples.append(seconds)
        if len(samples) < _SAMPLES:
            return None
        self._settled[rows] = min(self._samples.pop(rows))
        if abs(self._settled[rows] / self._told.get(rows, math.inf) - 1) <= _NEWS:
            return None
        self._told[rows] = self._settled[rows]
        return self._settled[rows]

    def ran_out(self, rows: int) -> None:
        """Note that the device had no memory for a forward of `rows`; forgotten after a while."""
        self._limit = (max(1, rows // 2), self._now())

    def seconds(self, rows: int) -> float | None:
        """Return how long a forward of `rows` takes, or None while nothing is known."""
        if rows in self._settled:
            return self._settled[rows]
        samples = self._samples.get(rows)
        return min(samples) if samples else None

    def _most_rows(self) -> int:
        if self._limit is None:
            return MOST_ROWS
        limit, noted = self._limit
        if self._now() - noted > _LIMIT_SECONDS:
            self._limit = None
            return MOST_ROWS
        return limit

    def _to_try(self, sizes: Sequence[int]) -> list[int]:
        """Return the sizes to measure next: the two smallest, then one more while it pays."""
        pair = [size for size in sizes[:2] if size not in self._settled]
        if pair:
            return pair
        size = next((size for size in sizes if size not in self._settled), None)
        if size is None:
            return []
        return [size] if self._still_gains(size) else []

    def _still_gains(self, size: int) -> bool:
        """Return whether the largest size below `size` gained over one of half its rows.

        Neighbouring sizes differ by less than the machine's noise; doubled ones do not.
        """
        last = max(known for known in self._settled if known < size)
        half = max((known for known in self._settled if 2 * known <= last), default=None)
        if half is None:
            return True
        return self._settled[last] / last <= _WORTH * self._settled[half] / half

    def _completions(self, sizes: Sequence[int], count: int, waiting: int) -> _Completions:
        """Return when equal pictures would have a step each, `count` at a time."""
        groups = -(-waiting // count)
        done = sum(
            group * min(count, waiting - (group - 1) * count) for group in range(1, groups + 1)
        )
        seconds = self._settled[sizes[count - 1]]
        return _Completions(mean=seconds * done / waiting, last=seconds * groups)


@dataclass(frozen=True, slots=True)
class _Completions:
    mean: float
    last: float


class Curves:
    """The curves of everything that was drawn, started from what earlier processes measured."""

    def __init__(
        self,
        hardware: str,
        known: Callable[[], Sequence[RowTime]],
        learn: Callable[[RowTime], None],
    ) -> None:
        """Measure for `hardware`; `known` gives earlier points, `learn` takes new ones."""
        self._hardware = hardware
        self._known = known
        self._learn = learn
        self._curves: OrderedDict[tuple[str, str, str], RowCurve] = OrderedDict()

    def of(self, model: EngineModel, bucket: str) -> RowCurve:
        """Return the curve of pictures of one model and bucket."""
        key = model.id, model.fingerprint, bucket
        if key not in self._curves:
            self._curves[key] = RowCurve(
                {
                    point.rows: point.seconds
                    for point in self._known()
                    if (point.model, point.fingerprint, point.bucket) == key
                }
            )
        self._curves.move_to_end(key)
        if len(self._curves) > _KEPT:
            self._curves.popitem(last=False)
        return self._curves[key]

    def learn(self, model: EngineModel, bucket: str, rows: int, seconds: float) -> None:
        """Take in how long a forward took."""
        settled = self.of(model, bucket).learn(rows, seconds)
        if settled is not None:
            self._learn(
                RowTime(
                    hardware=self._hardware,
                    model=model.id,
                    fingerprint=model.fingerprint,
                    bucket=bucket,
                    rows=rows,
                    seconds=settled,
                )
            )
