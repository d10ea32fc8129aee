"""Rows and files together: every file has its row and every row its file, whatever is killed.

A blob's row is written before its file and marked as stored in the transaction that first refers
to it. What a killed process leaves is therefore always a row that is not stored or not referred
to, and `sweep` finds it without looking at the files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy import ColumnElement, delete, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.domain.errors import NotFoundError
from server.domain.gallery import StoredImage, Upload
from server.domain.streams import StateEvent
from server.store.blobs import BlobStore
from server.store.database import Database
from server.store.events import EventRepository
from server.store.images import ImageRepository
from server.store.tables import blobs, images, uploads
from server.store.uploads import UploadRepository

_LOCKS = 64


class Keeper:
    """Keeps and deletes pictures, uploads and thumbnails with their files."""

    def __init__(
        self,
        database: Database,
        blob_store: BlobStore,
        image_rows: ImageRepository,
        upload_rows: UploadRepository,
        events: EventRepository,
    ) -> None:
        self._database = database
        self._blobs = blob_store
        self._images = image_rows
        self._uploads = upload_rows
        self._events = events
        # Keeping and deleting the same content exclude each other; one process does both.
        self._locks = tuple(asyncio.Lock() for _ in range(_LOCKS))

    async def keep_image(self, image: StoredImage, data: bytes) -> StoredImage:
        """Keep a picture; returns the earlier one when its place (job, index) is taken."""
        told: list[StateEvent] = []
        earlier: list[StoredImage] = []

        async def refer(connection: AsyncConnection) -> None:
            taken = await self._images.insert(connection, image)
            if taken is not None:
                earlier.append(taken)
                return
            event = await self._events.write_for_image(connection, image)
            told.append(event)

        await self._keep(image.sha256, image.format.value, data, refer)
        for event in told:
            self._events.tell(event)
        if earlier:
            await self._drop_unused(image.sha256)
            return earlier[0]
        return image

    async def keep_upload(self, upload: Upload, png: bytes) -> None:
        """Keep a source picture."""
        await self._keep(
            upload.sha256, "png", png, lambda connection: self._uploads.insert(connection, upload)
        )

    async def file(self, sha256: str, suffix: str) -> bytes:
        """Return a file.

        Raises:
            NotFoundError: it is not there.
        """
        return await self._blobs.get(sha256, suffix)

    async def thumbnail(self, sha256: str, size: int) -> bytes | None:
        """Return a kept thumbnail, None when there is none yet."""
        try:
            return await self._blobs.get(sha256, _thumbnail(size))
        except NotFoundError:
            return None

    async def keep_thumbnail(self, sha256: str, size: int, data: bytes) -> None:
        """Keep a thumbnail for as long as its picture."""

        async def nothing(connection: AsyncConnection) -> None:
            del connection

        await self._keep(sha256, _thumbnail(size), data, nothing)

    async def delete_image(self, image_id: str, owner: str) -> StoredImage | None:
        """Delete a picture for good; None when it is not the owner's."""
        async with self._database.write() as connection:
            gone = await self._images.remove(connection, image_id, owner)
        if gone is not None:
            await self._drop_unused(gone.sha256)
        return gone

    async def delete_upload(self, upload_id: str, owner: str) -> Upload | None:
        """Delete an upload for good; None when it is not the owner's."""
        async with self._database.write() as connection:
            gone = await self._uploads.remove(connection, upload_id, owner)
        if gone is not None:
            await self._drop_unused(gone.sha256)
        return gone

    async def sweep(self) -> int:
        """Delete what killed processes left; returns how many files' rows that were."""
        unused = select(blobs.c.sha256).where(or_(~blobs.c.is_stored, ~_is_referred())).distinct()
        async with self._database.read() as connection:
            left = list(await connection.scalars(unused))
        return sum([await self._drop_unused(sha256) for sha256 in left])

    async def _keep(
        self,
        sha256: str,
        suffix: str,
        data: bytes,
        refer: Callable[[AsyncConnection], Awaitable[None]],
    ) -> None:
        this = (blobs.c.sha256 == sha256) & (blobs.c.suffix == suffix)
        async with self._lock(sha256):
            async with self._database.write() as connection:
                row = (await connection.execute(select(blobs.c.is_stored).where(this))).first()
                if row is None:
                    values = {"sha256": sha256, "suffix": suffix, "size_bytes": len(data)}
                    await connection.execute(insert(blobs).values(**values, is_stored=False))
            if row is None or not row.is_stored:
                await self._blobs.put(sha256, suffix, data)
            async with self._database.write() as connection:
                await refer(connection)
                await connection.execute(update(blobs).where(this).values(is_stored=True))

    async def _drop_unused(self, sha256: str) -> int:
        """Delete the files of `sha256` that nothing refers to, then their rows."""
        async with self._lock(sha256):
            query = select(blobs.c.suffix).where(
                blobs.c.sha256 == sha256, or_(~blobs.c.is_stored, ~_is_referred())
            )
            async with self._database.read() as connection:
                suffixes = list(await connection.scalars(query))
            for suffix in suffixes:
                await self._blobs.delete(sha256, suffix)
                this = (blobs.c.sha256 == sha256) & (blobs.c.suffix == suffix)
                async with self._database.write() as connection:
                    await connection.execute(delete(blobs).where(this))
            return len(suffixes)

    def _lock(self, sha256: str) -> asyncio.Lock:
        return self._locks[int(sha256[:2], 16) % _LOCKS]


def _is_referred() -> ColumnElement[bool]:
    return or_(
        exists().where(images.c.sha256 == blobs.c.sha256),
        exists().where(uploads.c.sha256 == blobs.c.sha256),
    )


def _thumbnail(size: int) -> str:
    return f"{size}.webp"
