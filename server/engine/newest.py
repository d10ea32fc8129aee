"""A line of messages in which only the newest of a kind waits, so no listener holds us up."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Place(Generic[T]):
    message: T | None
    key: Hashable | None


@dataclass(slots=True)
class NewestQueue(Generic[T]):
    """First in, first out; a message with a key takes the place of one that still waits.

    So a slow reader finds progress and previews as they are now, and the queue stays as short
    as the number of keys. Not locked: the owner is one thread, or holds a lock.
    """

    _places: deque[_Place[T]] = field(default_factory=deque)
    _waiting: dict[Hashable, _Place[T]] = field(default_factory=dict)

    def put(self, message: T, key: Hashable | None = None) -> None:
        """Append `message`, or replace the one of the same key that was not taken yet."""
        place = self._waiting.get(key) if key is not None else None
        if place is not None:
            place.message = message
            return
        place = _Place(message, key)
        self._places.append(place)
        if key is not None:
            self._waiting[key] = place

    def drop(self, key: Hashable) -> None:
        """Forget the message of `key` if it still waits."""
        place = self._waiting.pop(key, None)
        if place is not None:
            place.message = None

    def take(self) -> T | None:
        """Return the next message, or None when there is none."""
        while self._places:
            place = self._places.popleft()
            if place.message is None:
                continue
            if place.key is not None:
                del self._waiting[place.key]
            return place.message
        return None
