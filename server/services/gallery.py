"""Finished pictures: list, look at, delete."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from server.domain.errors import NotFoundError
from server.domain.gallery import StoredImage
from server.domain.keys import Caller
from server.domain.pages import Page
from server.services.pictures import thumbnail
from server.services.views import ImageView, image_view
from server.store.store import Store

ThumbnailSize = Literal[256, 512]


@dataclass(frozen=True, slots=True)
class FileView:
    """A file's bytes; `sha256` names their content for caches."""

    data: bytes
    media_type: str
    sha256: str


class Gallery:
    """The caller's pictures."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def images(
        self,
        caller: Caller,
        *,
        cursor: str | None,
        limit: int,
        query: str | None = None,
        model: str | None = None,
    ) -> Page[ImageView]:
        """Return pictures, newest first; `query` finds words that begin so in the prompt."""
        page = await self._store.images.list(
            caller.owner, cursor=cursor, limit=limit, query=query, model=model
        )
        return Page(tuple(map(image_view, page.items)), page.next_cursor)

    async def image(self, image_id: str, caller: Caller) -> ImageView:
        """Return one picture."""
        return image_view(await self._row(image_id, caller))

    async def file(self, image_id: str, caller: Caller) -> FileView:
        """Return a picture's file as it was made."""
        row = await self._row(image_id, caller)
        data = await self._store.blobs.get(row.sha256, row.format.value)
        return FileView(data, row.format.media_type, row.sha256)

    async def shared_file(self, image_id: str) -> FileView:
        """Return a picture's file, whoever's it is: for links whose signature was checked."""
        row = await self._store.images.get(image_id)
        if row is None:
            raise NotFoundError(f"no picture '{image_id}'")
        data = await self._store.blobs.get(row.sha256, row.format.value)
        return FileView(data, row.format.media_type, row.sha256)

    async def thumbnail(self, image_id: str, size: ThumbnailSize, caller: Caller) -> FileView:
        """Return a small WebP; made once, then kept."""
        row = await self._row(image_id, caller)
        kept = await self._store.blobs.get_thumbnail(row.sha256, size)
        if kept is None:
            data = await self._store.blobs.get(row.sha256, row.format.value)
            kept = await asyncio.to_thread(thumbnail, data, size)
            await self._store.blobs.put_thumbnail(row.sha256, size, kept)
        return FileView(kept, "image/webp", f"{row.sha256}-{size}")

    async def delete(self, image_id: str, caller: Caller) -> None:
        """Delete a picture and its file for good."""
        if await self._store.images.delete(image_id, caller.owner) is None:
            raise NotFoundError(f"no picture '{image_id}'")

    async def _row(self, image_id: str, caller: Caller) -> StoredImage:
        row = await self._store.images.get(image_id, caller.owner)
        if row is None:
            raise NotFoundError(f"no picture '{image_id}'")
        return row
