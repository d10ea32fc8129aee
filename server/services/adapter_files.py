"""The files of adapters: in the models' folder, each under its own hash."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from server.domain.errors import NotFoundError
from server.registry.disk import storage_errors
from server.services import staging

_SUFFIX = ".safetensors"
_UNFINISHED = f".uploading{_SUFFIX}"


class AdapterFiles:
    """One folder of files.

    Args:
        models_dir: the models' folder, in which it is.
    """

    def __init__(self, models_dir: Path) -> None:
        self._folder = models_dir / "adapters"

    def sweep(self) -> None:
        """Remove what uploads left that were killed. Only a server may, for its own are here."""
        for left in self._folder.glob(f".*{_UNFINISHED}"):
            left.unlink(missing_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where a kept file lies.

        Raises:
            NotFoundError: it was removed since.
        """
        path = self._path(sha256)
        if not path.is_file():
            raise NotFoundError("an adapter of this request was removed", parameter="adapters")
        return path

    @asynccontextmanager
    async def staged(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[Path]:
        """Write a file; it is gone at the end unless it was kept.

        Raises:
            StorageFullError, StorageUnavailableError: the folder takes no more.
        """
        fresh = self._folder / f".{secrets.token_hex(8)}{_UNFINISHED}"
        with storage_errors():
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh.touch(exist_ok=False)
        try:
            await staging.write(fresh, chunks)
            yield fresh
        finally:
            fresh.unlink(missing_ok=True)

    async def keep(self, fresh: Path, sha256: str) -> None:
        """Give a staged file its name; an equal one may have it already."""
        await asyncio.to_thread(staging.settle, fresh, self._path(sha256))

    def drop(self, sha256: str) -> None:
        """Remove a file for good."""
        with storage_errors():
            self._path(sha256).unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}{_SUFFIX}"


def measure(path: Path) -> tuple[str, int]:
    """Return a file's SHA-256 and its size in bytes."""
    with storage_errors(), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
