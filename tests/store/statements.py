"""Plain SQL for tests, past every repository."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from server.store.database import Database


async def said(url: str, statement: str) -> Sequence[Row[*tuple[Any, ...]]]:
    """The rows that a statement finds."""
    database = Database.at(url)
    try:
        return await database.read(text(statement))
    finally:
        await database.close()


async def execute(url: str, statement: str) -> None:
    """Run a statement."""

    def work(connection: Connection) -> None:
        connection.execute(text(statement))

    database = Database.at(url)
    try:
        await database.define(work)
    finally:
        await database.close()
