"""Everything that is kept, behind one door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import structlog
from sqlalchemy import func, select, union_all

from server.domain.budgets import Charge
from server.domain.errors import StorageFullError, StorageUnavailableError
from server.domain.gallery import StoredImage, Upload
from server.domain.streams import StateEvent
from server.store import schema
from server.store.adapters import AdapterRepository
from server.store.blobs import BlobStore
from server.store.chains import ChainRepository
from server.store.connections import ConnectionRepository
from server.store.database import Database
from server.store.events import EventRepository
from server.store.images import ImageRepository
from server.store.jobs import JobRepository
from server.store.keys import KeyRepository
from server.store.master_keys import MasterKeys
from server.store.migrate import migrate
from server.store.rates import RateRepository
from server.store.row_times import RowTimeRepository
from server.store.sealing import Sealing
from server.store.tried import TriedRepository
from server.store.uploads import UPLOAD_SUFFIX, UploadRepository
from server.store.usage import UsageRepository
from server.store.vault import Vault

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """Return the time, aware and in UTC."""
    return datetime.now(UTC)


async def _sweep(files: Vault) -> int:
    try:
        removed = await files.sweep_files()
    except (StorageFullError, StorageUnavailableError) as error:
        log.warning("files.not_swept", reason=str(error))  # the next start tries again
        return 0
    if removed:
        log.info("files.swept", removed=removed)
    return removed


class Store:
    """Rows and files. Made by `open`, ended by `close`."""

    def __init__(
        self,
        database: Database,
        files: BlobStore | None,
        now: Callable[[], datetime],
        master_keys: MasterKeys | None = None,
    ) -> None:
        self._database = database
        self._files = files
        self._vault = None if files is None else Vault(database, files)
        self.sweeping: asyncio.Task[int] | None = None  # all files, since `open`
        self.jobs = JobRepository(database, now)
        self.images = ImageRepository(database, self._vault)
        self.uploads = UploadRepository(database, self._vault)
        self.adapters = AdapterRepository(database)
        self.sealing = Sealing(database, master_keys)
        self.connections = ConnectionRepository(database, self.sealing)
        self.keys = KeyRepository(database)
        self.events = EventRepository(database)
        self.rates = RateRepository(database)
        self.usage = UsageRepository(database)
        self.row_times = RowTimeRepository(database)
        self.tried = TriedRepository(database)
        self.chains = ChainRepository(database)

    @classmethod
    async def open(
        cls,
        url: str,
        blobs_url: str | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
        master_keys: MasterKeys | None = None,
    ) -> Store:
        """Open the database, bring its tables up to date and remove what a kill left of files.

        Args:
            url: sqlite:///file or postgresql://user@host/name.
            blobs_url: a folder or s3://bucket/prefix. Only the server that holds
                `server.store.lock.server_lock` may name it, since it sweeps; None: rows alone.
            now: the clock, for events that come with no time of their own.
            master_keys: what keys of connections are sealed with; None: they stay closed.

        Raises:
            StorageUnavailableError, StorageFullError: what is wrong and what helps.
        """
        async with AsyncExitStack() as undo:
            database = Database.at(url)
            undo.push_async_callback(database.close)
            await migrate(database)
            files = None if blobs_url is None else await BlobStore.open(blobs_url)
            if files is not None:
                undo.push_async_callback(files.close)
            store = cls(database, files, now, master_keys)
            if files is not None:
                await store.blobs.sweep_rows()
                store.sweeping = asyncio.create_task(_sweep(store.blobs))
            undo.pop_all()
        return store

    async def close(self) -> None:
        """Let writes end, then close connections and threads."""
        if self.sweeping is not None:
            self.sweeping.cancel()
            await asyncio.wait([self.sweeping])
        await self._database.close()
        if self._files is not None:
            await self._files.close()

    @property
    def blobs(self) -> Vault:
        """The files. Only of a store that was opened with them."""
        if self._vault is None:
            raise ValueError("this store was opened without blobs_url")
        return self._vault

    @property
    def on_event(self) -> Callable[[StateEvent], None] | None:
        """Hears of every state event, after its transaction committed, in commit order.

        It is called between two writes, so it must be quick and must not raise.
        """
        return self._database.on_event

    @on_event.setter
    def on_event(self, listener: Callable[[StateEvent], None] | None) -> None:
        self._database.on_event = listener

    async def keep_image(
        self, image: StoredImage, data: bytes, charge: Charge | None = None
    ) -> tuple[StoredImage, bool]:
        """Keep a picture's file, row and cost, all or none, whoever is killed and whenever.

        Returns:
            The row, and whether it is new: a rerun keeps what is stored.

        Raises:
            StorageFullError, StorageUnavailableError: nothing was kept; try again later.
        """
        return await self.blobs.keep(
            image.sha256, image.format, data, lambda: self.images.add(image, charge)
        )

    async def keep_upload(self, upload: Upload, data: bytes) -> Upload:
        """Keep an upload's file and row, both or neither."""
        row, _ = await self.blobs.keep(
            upload.sha256, UPLOAD_SUFFIX, data, lambda: self.uploads.add(upload)
        )
        return row

    async def greatest_id(self) -> str | None:
        """Return the greatest id of all jobs, images, uploads, keys and connections."""
        tables = (schema.jobs, schema.images, schema.uploads, schema.keys, schema.connections)
        rows = await self._database.read(
            union_all(*(select(func.max(table.c.id)) for table in tables))
        )
        return max((row[0] for row in rows if row[0] is not None), default=None)

    async def check(self) -> None:
        """Write and read one row, and write one file.

        Raises:
            StorageFullError, StorageUnavailableError: which of the two, and what helps.
        """
        values = {"name": "checked_at", "value": utc_now().isoformat()}
        await self._database.write(lambda t: t.put(schema.about, values, ["name"]))
        await self._database.read(select(schema.about).where(schema.about.c.name == "checked_at"))
        if self._vault is not None:
            await self._vault.check()
