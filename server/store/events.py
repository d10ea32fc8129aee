"""State events: written with the change they tell of, told after its commit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.domain.gallery import StoredImage
from server.domain.jobs import Job, JobError
from server.domain.streams import StateEvent
from server.store.database import Database
from server.store.tables import events


class EventRepository:
    """Reads and writes the events table."""

    def __init__(self, database: Database, tell: Callable[[StateEvent], None]) -> None:
        self._database = database
        self._tell = tell

    async def after(
        self, owner: str, event_id: int, *, job_id: str | None = None, limit: int = 1000
    ) -> list[StateEvent]:
        """Return the owner's events with greater ids, oldest first."""
        query = select(events).where(events.c.owner == owner, events.c.id > event_id)
        if job_id is not None:
            query = query.where(events.c.job_id == job_id)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(events.c.id).limit(limit))
            return [StateEvent.model_validate(dict(row._mapping)) for row in rows]  # noqa: SLF001

    async def latest_id(self) -> int:
        """Return the greatest id, 0 when there is none."""
        async with self._database.read() as connection:
            return int(await connection.scalar(select(func.max(events.c.id))) or 0)

    async def write(
        self,
        connection: AsyncConnection,
        job: Job,
        kind: str,
        *,
        error: JobError | None = None,
    ) -> StateEvent:
        """Add a job's event to the open transaction; `tell` it once that is committed."""
        return await self._write(connection, job.owner, job.id, kind, None, error)

    async def write_for_image(self, connection: AsyncConnection, image: StoredImage) -> StateEvent:
        """Add a picture's event to the open transaction; `tell` it once that is committed."""
        return await self._write(connection, image.owner, image.job_id, "picture", image.id, None)

    async def _write(
        self,
        connection: AsyncConnection,
        owner: str,
        job_id: str,
        kind: str,
        image_id: str | None,
        error: JobError | None,
    ) -> StateEvent:
        await self._database.order_events(connection)
        values: dict[str, Any] = {
            "owner": owner,
            "job_id": job_id,
            "type": kind,
            "at": datetime.now(UTC),
            "image_id": image_id,
            "error": None if error is None else error.model_dump(),
        }
        result = await connection.execute(insert(events).values(values))
        key = result.inserted_primary_key
        return StateEvent.model_validate({**values, "id": None if key is None else key[0]})

    def tell(self, event: StateEvent) -> None:
        """Pass a committed event on."""
        self._tell(event)
