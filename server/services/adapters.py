"""Adapters that people bring: checked, kept under a name, and drawn with by every key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import structlog
from pydantic import TypeAdapter, ValidationError

from server.domain.adapters import StoredAdapter, names_adapters
from server.domain.errors import (
    AdapterError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    TooLargeError,
)
from server.domain.images import AdapterId, ImageRequest
from server.engine.inspection import inspect
from server.services.adapter_files import AdapterFiles, measure
from server.services.views import AdapterView

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.store.store import Store

log = structlog.get_logger(__name__)

_ID: TypeAdapter[str] = TypeAdapter(AdapterId)
_MOST_ID_CHARACTERS = 64
_MOST_NAME_CHARACTERS = 200
_MOST_LISTED = 20  # in a message


class Adapters:
    """The server's adapters. Adding and removing is the admin's.

    Args:
        store: where the rows are.
        files: where the files are.
        now: the clock.
        max_bytes: the largest file that is taken.
    """

    def __init__(
        self, store: Store, files: AdapterFiles, now: Callable[[], datetime], *, max_bytes: int
    ) -> None:
        self._store = store
        self._files = files
        self._now = now
        self.max_bytes = max_bytes
        self._changing = asyncio.Lock()  # a file and its row belong together

    async def add(
        self, chunks: AsyncIterator[bytes], *, file_name: str, adapter_id: str | None
    ) -> AdapterView:
        """Keep an adapter.

        Args:
            chunks: its file, piece by piece.
            file_name: as its owner calls the file.
            adapter_id: how requests will name it; None: made from the file's name.

        Raises:
            InvalidRequestError: the id is none, or none can be made.
            ConflictError: the id or the file is taken.
            TooLargeError: the file is.
            AdapterError: it is no adapter that is drawn with here.
        """
        name = PurePosixPath(file_name.replace("\\", "/")).name[-_MOST_NAME_CHARACTERS:]
        chosen = _checked_id(adapter_id) if adapter_id is not None else _id_from(name)
        _check_ending(name)
        if await self._store.adapters.get(chosen) is not None:
            raise _taken(chosen)
        async with self._files.staged(self._capped(chunks)) as fresh:
            adapter = await self._described(fresh, chosen, name)
            async with self._changing:
                await self._keep(adapter, fresh)
        log.info("adapter.added", adapter=adapter.id, family=adapter.family.value)
        return _view(adapter)

    async def list(self) -> tuple[AdapterView, ...]:
        """Return all adapters by name."""
        return tuple(map(_view, await self._store.adapters.list()))

    async def get(self, adapter_id: str) -> AdapterView:
        """Return one adapter.

        Raises:
            NotFoundError: there is none of that name; the message tells which there are.
        """
        return _view(await self._row(adapter_id))

    async def remove(self, adapter_id: str) -> None:
        """Remove an adapter and its file; pictures that were drawn with it stay.

        Raises:
            NotFoundError: there is none of that name.
            ConflictError: an unfinished job draws with it.
        """
        async with self._changing:
            adapter = await self._row(adapter_id)
            job_id = await self._store.adapters.needed_by(adapter)
            if job_id is not None:
                raise ConflictError(
                    f"job '{job_id}' draws with adapter '{adapter_id}'; wait or cancel the job"
                )
            await self._store.adapters.delete(adapter_id)
            self._files.drop(adapter.sha256)
        log.info("adapter.removed", adapter=adapter_id)

    async def known_to(self, request: ImageRequest) -> Mapping[str, StoredAdapter]:
        """Return all adapters by name if `request` has any, else none."""
        if not names_adapters(request):
            return {}
        return {adapter.id: adapter for adapter in await self._store.adapters.list()}

    async def _described(self, fresh: Path, chosen: str, name: str) -> StoredAdapter:
        try:
            found = await inspect(fresh)
        except AdapterError as error:
            raise AdapterError(f"'{name}': {error.detail}", parameter="file") from error
        sha256, size_bytes = await asyncio.to_thread(measure, fresh)
        return StoredAdapter(
            id=chosen,
            sha256=sha256,
            family=found.family,
            rank=found.rank,
            layers=found.layers,
            size_bytes=size_bytes,
            file_name=name,
            created_at=self._now(),
        )

    async def _keep(self, adapter: StoredAdapter, fresh: Path) -> None:
        """Keep file and row, the file first: a row without its file would fail whoever draws."""
        await self._files.keep(fresh, adapter.sha256)
        holder = await self._store.adapters.add(adapter)
        if holder is None:
            return
        if holder.sha256 == adapter.sha256:
            raise ConflictError(f"this very file is adapter '{holder.id}' already")
        self._files.drop(adapter.sha256)
        raise _taken(holder.id)

    async def _capped(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        taken = 0
        async for piece in chunks:
            taken += len(piece)
            if taken > self.max_bytes:
                raise TooLargeError(f"an adapter has at most {self.max_bytes} bytes here")
            yield piece

    async def _row(self, adapter_id: str) -> StoredAdapter:
        row = await self._store.adapters.get(adapter_id)
        if row is None:
            names = [adapter.id for adapter in await self._store.adapters.list()]
            have = ", ".join(names[:_MOST_LISTED]) or "none"
            raise NotFoundError(f"no adapter '{adapter_id}'; there are {have}")
        return row


def _view(adapter: StoredAdapter) -> AdapterView:
    return AdapterView(**dict(adapter))


def _taken(adapter_id: str) -> ConflictError:
    return ConflictError(f"there is an adapter '{adapter_id}' already; give another id")


def _checked_id(adapter_id: str) -> str:
    try:
        return _ID.validate_python(adapter_id)
    except ValidationError as error:
        raise InvalidRequestError(
            "an id has up to 64 small letters, digits, dots, dashes and underscores, and begins "
            "with a letter or digit",
            parameter="id",
        ) from error


def _id_from(name: str) -> str:
    slug = re.sub(r"[^a-z0-9._-]+", "-", name.lower().removesuffix(".safetensors"))
    slug = slug.strip("._-")[:_MOST_ID_CHARACTERS]
    if not slug:
        raise InvalidRequestError("no id can be made of the file's name; give one", parameter="id")
    return slug


def _check_ending(name: str) -> None:
    ending = PurePosixPath(name).suffix.lower()
    if ending not in ("", ".safetensors"):
        raise AdapterError(
            f"'{ending}' files are not read, as they can carry programs; get the adapter as "
            ".safetensors",
            parameter="file",
        )
