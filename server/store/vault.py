"""Every file has its row and every row its file, whenever the process is killed.

A blob's row is written before its file, and goes after it. What a picture or upload refers to is
in use: the reference comes in one transaction with the picture's own row, and a foreign key
holds the rest. References are counted by asking, never by a counter. What nothing refers to is a
leftover of a kill; the sweep at start removes it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar
from weakref import WeakValueDictionary

from sqlalchemy import and_, delete, exists, or_, select

from server.domain.errors import StorageFullError, StorageUnavailableError
from server.store.blobs import BlobFile, BlobStore
from server.store.database import Database
from server.store.schema import about, blobs, images, uploads

T = TypeVar("T")
_IN_USE = or_(
    exists().where(images.c.sha256 == blobs.c.sha256, images.c.format == blobs.c.suffix),
    exists().where(uploads.c.sha256 == blobs.c.sha256, uploads.c.format == blobs.c.suffix),
)


class Vault:
    """Files and rows together. One server at a time: see `server.store.lock`.

    Putting, deleting and sweeping one content take turns, so that the sweep never takes a file
    that is being written, and of two equal pictures one may go while the other comes.
    """

    def __init__(self, database: Database, files: BlobStore) -> None:
        self._database = database
        self._files = files
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, sha256: str, suffix: str) -> bytes:
        """Return a file's bytes.

        Raises:
            NotFoundError: its picture was just deleted.
        """
        return await self._files.get(sha256, suffix)

    async def get_thumbnail(self, sha256: str, size: int) -> bytes | None:
        """Return a kept thumbnail, or None."""
        return await self._files.get_thumbnail(sha256, size)

    async def put_thumbnail(self, sha256: str, size: int, data: bytes) -> None:
        """Keep a thumbnail as long as its picture; of a deleted one it is dropped."""
        async with self._turn(sha256):
            known = select(blobs.c.suffix).where(blobs.c.sha256 == sha256)
            if await self._database.read(known):
                await self._files.put_thumbnail(sha256, size, data)

    async def keep(
        self, sha256: str, suffix: str, data: bytes, refer: Callable[[], Awaitable[tuple[T, bool]]]
    ) -> tuple[T, bool]:
        """Keep a file, then run `refer`, which writes the row that refers to it.

        Goes on to its end when the caller is cancelled.

        Args:
            sha256: of `data`.
            suffix: the format, such as png.
            data: the file.
            refer: returns its row and whether it is new; if not, the file goes again.

        Raises:
            StorageFullError, StorageUnavailableError: nothing was kept.
        """

        async def work() -> tuple[T, bool]:
            async with self._turn(sha256):
                is_new = False
                try:
                    await self.stage(sha256, suffix, len(data))
                    if await self._files.put(data, suffix) != sha256:
                        raise ValueError("the bytes are not those of the given SHA-256")
                    row, is_new = await refer()
                finally:
                    if not is_new:
                        await self._drop_unless_in_use(sha256, suffix)
                return row, is_new

        return await self._database.to_the_end(work())

    async def release(self, sha256: str, suffix: str, drop: Callable[[], Awaitable[T]]) -> T:
        """Run `drop`, which deletes a row that refers to the file, and delete an unused file."""

        async def work() -> T:
            async with self._turn(sha256):
                dropped = await drop()
                await self._drop_unless_in_use(sha256, suffix)
                return dropped

        return await self._database.to_the_end(work())

    async def stage(self, sha256: str, suffix: str, size_bytes: int) -> None:
        """Write the row of a file that is about to be put. The first step of `keep`."""
        values = {"sha256": sha256, "suffix": suffix, "size_bytes": size_bytes}
        await self._database.write(lambda t: t.add(blobs, values, ["sha256", "suffix"]))

    async def check(self) -> None:
        """Write one small file.

        Raises:
            StorageFullError, StorageUnavailableError: the blob store takes no files now.
        """
        await self._files.set_owner(await self._database_id())

    async def sweep_rows(self) -> int:
        """Remove what a kill has left with its row: found by a query, so quick at every start.

        Raises:
            StorageUnavailableError: these files are another database's; nothing was touched.
        """
        await self._claim()
        removed = 0
        unused = select(blobs.c.sha256, blobs.c.suffix).where(~_IN_USE)
        for sha256, suffix in await self._database.read(unused):
            async with self._turn(sha256):
                removed += await self._drop_unless_in_use(sha256, suffix)
        return removed

    async def sweep_files(self) -> int:
        """Remove unfinished files and those without a row: found by listing all of them.

        Safe beside everything else, and best so, since a large store takes its time. Files lose
        their rows only with a database that is older than they are.
        """
        removed = 0
        async for strangers in self._strangers():
            for file in strangers:
                removed += await self._remove_stranger(file)
        return removed

    async def _claim(self) -> None:
        """Make sure that these files belong to this database, so that strangers are leftovers."""
        mine, owner = await self._database_id(), await self._files.owner()
        if owner == mine:
            return
        if owner is None:
            async for strangers in self._strangers():
                if any(not file.is_unfinished for file in strangers):
                    break
            else:
                await self._files.set_owner(mine)
                return
        raise StorageUnavailableError(
            "the blob store holds the files of another database; set GREENROOM_BLOBS_URL to an "
            "empty place, or GREENROOM_DATABASE_URL to that database"
        )

    async def _database_id(self) -> str:
        statement = select(about.c.value).where(about.c.name == "database_id")
        if rows := await self._database.read(statement):
            return str(rows[0].value)
        fresh = {"name": "database_id", "value": secrets.token_hex(16)}
        await self._database.write(lambda t: t.add(about, fresh, ["name"]))
        return await self._database_id()

    async def _strangers(self) -> AsyncIterator[list[BlobFile]]:
        """Yield files without a row, and unfinished ones."""
        async for files in self._files.all():
            hashes = {file.sha256 for file in files}
            found = await self._database.read(
                select(blobs.c.sha256, blobs.c.suffix).where(blobs.c.sha256.in_(hashes))
            )
            rows = {(sha256, suffix) for sha256, suffix in found}
            rows |= {(sha256, None) for sha256, _ in rows}  # thumbnails belong to any of them
            yield [f for f in files if f.is_unfinished or (f.sha256, f.suffix) not in rows]

    async def _remove_stranger(self, file: BlobFile) -> int:
        async with self._turn(file.sha256):
            # Now nothing of this content is on its way, and its row is there or is not.
            known = select(blobs.c.suffix).where(blobs.c.sha256 == file.sha256)
            suffixes = {row.suffix for row in await self._database.read(known)}
            has_row = bool(suffixes) if file.suffix is None else file.suffix in suffixes
            if has_row and not file.is_unfinished:
                return 0
            await self._files.remove(file.path)
            return 1

    async def _drop_unless_in_use(self, sha256: str, suffix: str) -> bool:
        this = and_(blobs.c.sha256 == sha256, blobs.c.suffix == suffix)
        # Trouble here leaves a leftover for the next sweep; what was asked for is done.
        with suppress(StorageFullError, StorageUnavailableError):
            if await self._database.read(select(blobs.c.sha256).where(this, ~_IN_USE)):
                await self._files.delete(sha256, suffix)
                await self._database.write(lambda t: t.execute(delete(blobs).where(this)))
                return True
        return False

    @asynccontextmanager
    async def _turn(self, sha256: str) -> AsyncIterator[None]:
        lock = self._turns.setdefault(sha256, asyncio.Lock())
        async with lock:
            yield
