"""Lists in pieces: newest first, the cursor is the last id seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Column, Row, Select

from server.domain.pages import Page
from server.store.database import Database

T = TypeVar("T")


async def page(
    database: Database,
    query: Select[Any],
    key: Column[str],
    cursor: str | None,
    limit: int,
    make: Callable[[Row[Any]], T],
) -> Page[T]:
    """Return up to `limit` rows of `query` with ids below `cursor`."""
    if cursor is not None:
        query = query.where(key < cursor)
    async with database.read() as connection:
        # One more than asked for tells whether there is a next piece.
        rows = (await connection.execute(query.order_by(key.desc()).limit(limit + 1))).all()
    more = len(rows) > limit
    next_cursor = rows[limit - 1]._mapping[key.name] if more else None  # noqa: SLF001
    return Page(tuple(make(row) for row in rows[:limit]), next_cursor)
