"""State events, to be read again by whoever comes late."""

from __future__ import annotations

from sqlalchemy import func, select

from server.domain.streams import StateEvent
from server.store.columns import read
from server.store.database import Database
from server.store.schema import events


class EventRepository:
    """Events are only read here: each is written with the change that it tells of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def after(
        self, owner: str, event_id: int, *, job_id: str | None = None, limit: int = 1000
    ) -> list[StateEvent]:
        """Return an owner's events with greater numbers, oldest first; of one job if told so."""
        statement = select(events).where(events.c.owner == owner, events.c.id > event_id)
        if job_id is not None:
            statement = statement.where(events.c.job_id == job_id)
        rows = await self._database.read(statement.order_by(events.c.id).limit(limit))
        return [read(StateEvent, row) for row in rows]

    async def latest_id(self) -> int:
        """Return the greatest number so far, 0 before the first event."""
        rows = await self._database.read(select(func.max(events.c.id)))
        return int(rows[0][0] or 0)
