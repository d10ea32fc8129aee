"""The pictures that a request names: their sizes before it is taken, their files once it runs."""

from __future__ import annotations

from server.domain.errors import NotFoundError
from server.domain.gallery import StoredImage, Upload
from server.domain.images import ImageRequest
from server.domain.keys import Caller
from server.domain.sizes import Pixels, SourcePixels
from server.store.store import Store


class Sources:
    """Uploads and finished pictures alike, by id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, source_id: str) -> bytes:
        """Return a file for a worker; whose it is was checked at submit.

        Raises:
            NotFoundError: it was deleted since.
        """
        row = await self._row(source_id, None)
        if row is None:
            raise NotFoundError(f"the source picture '{source_id}' was deleted")
        return await self._file(row)

    async def file(self, source_id: str, caller: Caller) -> bytes:
        """Return a file of the caller's.

        Raises:
            NotFoundError: the caller has no such upload or picture.
        """
        return await self._file(await self._own(source_id, caller, "image"))

    async def pixels(self, request: ImageRequest, caller: Caller) -> SourcePixels:
        """Return the sizes of all pictures that `request` names.

        Raises:
            NotFoundError: the caller has no such upload or picture.
        """

        async def of(source_id: str | None, parameter: str) -> Pixels | None:
            if source_id is None:
                return None
            row = await self._own(source_id, caller, parameter)
            return row.width, row.height

        references = [await of(source_id, "references") for source_id in request.references]
        return SourcePixels(
            image=await of(request.image, "image"),
            mask=await of(request.mask, "mask"),
            reference=references[0] if references else None,
        )

    async def _own(self, source_id: str, caller: Caller, parameter: str) -> Upload | StoredImage:
        row = await self._row(source_id, caller.owner)
        if row is None:
            raise NotFoundError(
                f"no upload or picture '{source_id}'; upload it first", parameter=parameter
            )
        return row

    async def _row(self, source_id: str, owner: str | None) -> Upload | StoredImage | None:
        upload = await self._store.uploads.get(source_id, owner)
        return upload or await self._store.images.get(source_id, owner)

    async def _file(self, row: Upload | StoredImage) -> bytes:
        suffix = "png" if isinstance(row, Upload) else row.format.value
        return await self._store.blobs.get(row.sha256, suffix)
