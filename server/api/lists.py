"""Lists in pieces: `{items, next_cursor}`, newest first."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from fastapi import Query

from server.domain.images import Frozen, Id
from server.domain.pages import Page

T = TypeVar("T")

Cursor = Annotated[
    Id | None, Query(description="`next_cursor` of the piece before; absent: from the newest")
]
Limit = Annotated[int, Query(ge=1, le=200, description="Most items in one answer")]


class ItemList(Frozen, Generic[T]):
    """A piece of a list; `next_cursor` is null at its end."""

    items: tuple[T, ...]
    next_cursor: str | None


def item_list(page: Page[T]) -> ItemList[T]:
    """Return `page` as it is answered."""
    return ItemList(items=page.items, next_cursor=page.next_cursor)
