"""Source pictures that callers bring, by file or by address."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import datetime

from server.domain.errors import NotFoundError, TooLargeError
from server.domain.gallery import Upload
from server.domain.ids import IdMaker
from server.domain.keys import Caller
from server.domain.pages import Page
from server.net.fetch import SafeFetcher
from server.services.gallery import FileView
from server.services.pictures import SafePicture, make_safe, mask_from_alpha
from server.services.views import UploadView, upload_view
from server.store.store import Store

_FETCH_SECONDS = 30.0
_DECODES_AT_ONCE = 2  # a decoded picture can be a hundred times its file


class Uploads:
    """Takes pictures in, made safe, and gives them back to their owner."""

    def __init__(
        self,
        store: Store,
        fetcher: SafeFetcher,
        new_id: IdMaker,
        now: Callable[[], datetime],
        *,
        max_bytes: int,
        max_pixels: int,
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._new_id = new_id
        self._now = now
        self.max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._decoding = asyncio.Semaphore(_DECODES_AT_ONCE)

    async def add(self, data: bytes, caller: Caller) -> UploadView:
        """Keep a picture.

        Raises:
            TooLargeError, UnreadableImageError: see `safe`.
        """
        return upload_view(await self._keep(await self.safe(data), caller))

    async def add_from_url(self, url: str, caller: Caller) -> UploadView:
        """Fetch a picture from a public address and keep it.

        Raises:
            FetchRefusedError, FetchFailedError: see the fetcher; and as `add`.
        """
        return await self.add(await self.fetch(url), caller)

    async def fetch(self, url: str) -> bytes:
        """Return what lies at a public address.

        Raises:
            FetchRefusedError, FetchFailedError: see the fetcher.
        """
        return await self._fetcher.get(
            url, max_bytes=self.max_bytes, timeout_seconds=_FETCH_SECONDS
        )

    async def safe(self, data: bytes) -> SafePicture:
        """Return a foreign file as it would be kept.

        Raises:
            TooLargeError: too many bytes or pixels.
            UnreadableImageError: not a picture.
        """
        if len(data) > self.max_bytes:
            raise TooLargeError(f"{len(data)} bytes; at most {self.max_bytes} are taken")
        async with self._decoding:
            return await asyncio.to_thread(make_safe, data, max_pixels=self._max_pixels)

    async def mask(self, picture: SafePicture) -> SafePicture | None:
        """Return the mask that `picture` carries as transparency, see `mask_from_alpha`."""
        async with self._decoding:
            return await asyncio.to_thread(mask_from_alpha, picture)

    async def keep_once(self, picture: SafePicture, caller: Caller) -> str:
        """Keep `picture` unless the caller has an equal one, and return the id of either.

        So a request that is sent again names the same pictures, and is the same request.
        """
        known = await self._store.uploads.by_hash(_sha256(picture), caller.owner)
        return (known or await self._keep(picture, caller)).id

    async def get(self, upload_id: str, caller: Caller) -> UploadView:
        """Return one of the caller's uploads."""
        return upload_view(await self._row(upload_id, caller))

    async def file(self, upload_id: str, caller: Caller) -> FileView:
        """Return an upload's PNG."""
        row = await self._row(upload_id, caller)
        return FileView(await self._store.blobs.get(row.sha256, "png"), "image/png", row.sha256)

    async def list(self, caller: Caller, *, cursor: str | None, limit: int) -> Page[UploadView]:
        """Return the caller's uploads, newest first."""
        page = await self._store.uploads.list(caller.owner, cursor=cursor, limit=limit)
        return Page(tuple(map(upload_view, page.items)), page.next_cursor)

    async def delete(self, upload_id: str, caller: Caller) -> None:
        """Delete an upload for good."""
        if await self._store.uploads.delete(upload_id, caller.owner) is None:
            raise NotFoundError(f"no upload '{upload_id}'")

    async def _row(self, upload_id: str, caller: Caller) -> Upload:
        row = await self._store.uploads.get(upload_id, caller.owner)
        if row is None:
            raise NotFoundError(f"no upload '{upload_id}'")
        return row

    async def _keep(self, safe: SafePicture, caller: Caller) -> Upload:
        upload = Upload(
            id=self._new_id(),
            owner=caller.owner,
            sha256=_sha256(safe),
            size_bytes=len(safe.png),
            width=safe.width,
            height=safe.height,
            created_at=self._now(),
        )
        await self._store.keep_upload(upload, safe.png)
        return upload


def _sha256(picture: SafePicture) -> str:
    return hashlib.sha256(picture.png).hexdigest()
