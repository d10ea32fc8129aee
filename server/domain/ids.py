"""Ids that grow with time, so lists order by id."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
ID_LENGTH = 26
ID_PATTERN = rf"^[{_ALPHABET}]{{{ID_LENGTH}}}$"


def _base32(number: int) -> str:
    return "".join(_ALPHABET[(number >> 5 * place) & 31] for place in reversed(range(ID_LENGTH)))


class IdMaker:
    """Make 26-letter ids: 48 bits of milliseconds, then 80 of chance, as ULID does.

    Within one maker every id is greater than the one before, even when the clock is set back
    or two fall into one millisecond.

    Args:
        clock: seconds since 1970, may jump.
        last: the greatest id known so far, so that order holds across a restart too.
    """

    def __init__(self, clock: Callable[[], float], last: str | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0
        if last is not None:
            for letter in last:
                self._last = self._last << 5 | _ALPHABET.index(letter)

    def __call__(self) -> str:
        """Return the next id."""
        fresh = int(self._clock() * 1000) << 80 | secrets.randbits(80)
        with self._lock:
            # Below or equal: the clock stands or went back, so count on from the last one.
            self._last = fresh if fresh > self._last else self._last + 1 + secrets.randbits(16)
            return _base32(self._last)
