"""What was done since this process started; measurements read it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from server.domain.jobs import JobState
from server.domain.money import Money


@dataclass(slots=True)
class Drawn:
    """Pictures, and the seconds they took on the device."""

    count: int = 0
    seconds: float = 0.0


class Tally:
    """Counts that only grow."""

    def __init__(self) -> None:
        self.jobs: Counter[JobState] = Counter()
        self.pictures: defaultdict[tuple[str, str], Drawn] = defaultdict(Drawn)
        self.micros: Counter[tuple[str, str, str]] = Counter()  # by model, worker and currency

    def picture(self, model: str, worker: str, seconds: float, cost: Money | None = None) -> None:
        """Count one picture that is kept; `cost` where it is known."""
        drawn = self.pictures[model, worker]
        drawn.count += 1
        drawn.seconds += seconds
        if cost is not None:
            self.micros[model, worker, cost.currency] += cost.micros

    def job(self, state: JobState) -> None:
        """Count one job that ended."""
        self.jobs[state] += 1
