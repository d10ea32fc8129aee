"""Measured curves of seconds against rows, so that a restarted worker need not measure again."""

from __future__ import annotations

from sqlalchemy import select

from server.domain.row_times import RowTime
from server.store.columns import read
from server.store.database import Database
from server.store.schema import row_times

_PLACE = ["hardware", "model", "fingerprint", "bucket", "rows"]


class RowTimeRepository:
    """Points of curves, one for each hardware, model, bucket and number of rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[RowTime, ...]:
        """Return every point that is kept."""
        rows = await self._database.read(select(row_times))
        return tuple(read(RowTime, row) for row in rows)

    async def save(self, point: RowTime) -> None:
        """Keep a point in place of the one before."""
        await self._database.write(lambda t: t.put(row_times, point.model_dump(), _PLACE))
