"""Keeps what workers measure, in the background: nobody waits for it, and it can be lost."""

from __future__ import annotations

import asyncio

import structlog

from server.domain.errors import StorageFullError, StorageUnavailableError
from server.domain.row_times import RowTime
from server.store.store import Store

log = structlog.get_logger(__name__)


class Measurements:
    """Writes points of curves to the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, point: RowTime) -> None:
        """Write `point` soon."""
        task = asyncio.create_task(self._keep(point))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._tasks)

    async def _keep(self, point: RowTime) -> None:
        try:
            await self._store.row_times.save(point)
        except (StorageFullError, StorageUnavailableError) as error:
            # The next process measures it again.
            log.info("measurement.lost", model=point.model, reason=str(error))
