"""Lists in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Newest first; `next_cursor` is the last item's id, None at the end."""

    items: tuple[T, ...]
    next_cursor: str | None
