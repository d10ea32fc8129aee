"""Files by content, in a folder or an S3-compatible bucket; nothing here knows a row."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from server.domain.errors import AppError, StorageFullError, StorageUnavailableError
from server.domain.errors import NotFoundError as NotFound

_FULL = re.compile(r"os error (28|122)\b")  # ENOSPC, EDQUOT
_NO_WRITES = re.compile(r"os error (1|13|30)\b")  # EPERM, EACCES, EROFS


class BlobStore:
    """Puts a file whole or not at all."""

    def __init__(self, store: ObjectStore, folder: Path | None) -> None:
        self._store = store
        self._folder = folder

    @classmethod
    def open(cls, url_or_path: str) -> BlobStore:
        """Open a folder, or a bucket by URL with its credentials from the environment.

        Raises:
            StorageUnavailableError: the folder cannot be made or the URL is of no kind we know.
        """
        try:
            if "://" in url_or_path:
                return cls(from_url(url_or_path), None)
            folder = Path(url_or_path)
            folder.mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(folder), folder)
        except (BaseError, OSError, ValueError) as error:
            raise _translated(error) from error

    async def put(self, sha256: str, suffix: str, data: bytes) -> None:
        """Keep `data`; a reader sees all of it or nothing."""
        try:
            await obstore.put_async(self._store, _path(sha256, suffix), data, use_multipart=False)
        except (BaseError, OSError) as error:
            raise _translated(error) from error

    async def get(self, sha256: str, suffix: str) -> bytes:
        """Return a file.

        Raises:
            NotFoundError: it is not there.
        """
        try:
            result = await obstore.get_async(self._store, _path(sha256, suffix))
            return bytes(await result.bytes_async())
        except (NotFoundError, FileNotFoundError) as error:
            raise NotFound("the file of this picture is gone from the blob store") from error
        except (BaseError, OSError) as error:
            raise _translated(error) from error

    async def delete(self, sha256: str, suffix: str) -> None:
        """Delete a file and what an interrupted put of it left; fine when there is none."""
        path = _path(sha256, suffix)
        try:
            await obstore.delete_async(self._store, path)
        except (NotFoundError, FileNotFoundError):
            pass
        except (BaseError, OSError) as error:
            raise _translated(error) from error
        if self._folder is not None:
            await asyncio.to_thread(_delete_staged, self._folder / path)


def _path(sha256: str, suffix: str) -> str:
    return f"{sha256[:2]}/{sha256}.{suffix}"


def _delete_staged(path: Path) -> None:
    # A put writes NAME#1 and then renames it; a kill in between leaves that behind.
    for staged in path.parent.glob(f"{path.name}#*"):
        staged.unlink(missing_ok=True)


def _translated(error: Exception) -> AppError:
    said = str(error)
    if _FULL.search(said):
        return StorageFullError("the disk is full; make room, and waiting work goes on")
    if _NO_WRITES.search(said) or isinstance(error, PermissionError):
        return StorageUnavailableError("the blob store does not take writes; check its rights")
    return StorageUnavailableError(
        "the blob store does not answer; check GREENROOM_BLOBS_URL and its credentials"
    )
