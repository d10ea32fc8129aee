"""Lists in pieces, newest first: by id, since clocks jump and ids only grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select

from server.domain.pages import Page
from server.store.database import Database

T = TypeVar("T")


async def page(
    database: Database,
    statement: Select[Any],
    id_column: ColumnElement[str],
    read: Callable[[Row[Any]], T],
    cursor: str | None,
    limit: int,
) -> Page[T]:
    """Return the `limit` newest rows of `statement` that are older than `cursor`."""
    if cursor is not None:
        statement = statement.where(id_column < cursor)
    # One more than asked for tells whether there is a next page.
    rows = await database.read(statement.order_by(id_column.desc()).limit(limit + 1))
    items = tuple(map(read, rows[:limit]))
    return Page(items, rows[limit - 1].id if len(rows) > limit else None)
