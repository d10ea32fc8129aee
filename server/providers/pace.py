"""How long a service takes for a picture, as it took lately."""

from __future__ import annotations


class Pace:
    """A mean that follows the newest pictures."""

    _WEIGHT = 0.3  # of the newest

    def __init__(self) -> None:
        self.seconds: float | None = None

    def learn(self, seconds: float) -> None:
        """Take in how long one picture took."""
        old = self.seconds
        self.seconds = seconds if old is None else old + self._WEIGHT * (seconds - old)
