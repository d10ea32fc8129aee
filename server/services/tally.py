"""What was done since this process started; measurements read it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from server.domain.jobs import JobState


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

    def picture(self, model: str, worker: str, seconds: float) -> None:
        """Count one picture that is kept."""
        drawn = self.pictures[model, worker]
        drawn.count += 1
        drawn.seconds += seconds

    def job(self, state: JobState) -> None:
        """Count one job that ended."""
        self.jobs[state] += 1
