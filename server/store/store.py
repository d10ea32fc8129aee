"""All of storage, opened once."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import func, select, text

from server.domain.streams import StateEvent
from server.store.blobs import BlobStore
from server.store.database import Database, storage_errors
from server.store.events import EventRepository
from server.store.images import ImageRepository
from server.store.jobs import JobRepository
from server.store.keeper import Keeper
from server.store.keys import KeyRepository
from server.store.migrate import upgrade
from server.store.rates import RateRepository
from server.store.search import PostgresSearch, SqliteSearch
from server.store.tables import images, jobs, keys, rates, uploads
from server.store.uploads import UploadRepository


class Store:
    """The repositories on one database, and the keeper of files."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self.on_event: Callable[[StateEvent], None] = lambda event: None
        search = SqliteSearch() if database.is_sqlite else PostgresSearch()
        self.events = EventRepository(database, lambda event: self.on_event(event))
        self.jobs = JobRepository(database, self.events)
        self.images = ImageRepository(database, search)
        self.uploads = UploadRepository(database)
        self.keys = KeyRepository(database)
        self.rates = RateRepository(database)
        self.files = Keeper(database, blobs, self.images, self.uploads, self.events)

    @classmethod
    async def open(cls, database_url: str, blobs_url: str) -> Store:
        """Open storage: bring the schema up to date and clear what a kill left.

        Raises:
            StorageUnavailableError, StorageFullError: it cannot be used; the message says why.
        """
        database = Database(database_url)
        try:
            with storage_errors():
                await upgrade(database.engine)
            store = cls(database, BlobStore.open(blobs_url))
            await store.files.sweep()
        except BaseException:
            await database.close()
            raise
        return store

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()

    async def greatest_id(self) -> str | None:
        """Return the greatest id of any row, so that new ones are greater."""
        found: list[str] = []
        async with self._database.read() as connection:
            for table in (jobs, images, uploads, keys):
                greatest = await connection.scalar(select(func.max(table.c.id)))
                found += [] if greatest is None else [greatest]
        return max(found, default=None)

    async def check(self) -> None:
        """Write something and take it back.

        Raises:
            StorageUnavailableError, StorageFullError: storage takes no writes now.
        """
        async with self._database.write() as connection:
            values = {"device": "check", "model": "check", "seconds_per_flop": 0.0}
            await connection.execute(rates.insert().values(values))
            await connection.execute(rates.delete().where(rates.c.device == "check"))
            await connection.execute(text("SELECT 1"))
