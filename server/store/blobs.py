"""Files by the SHA-256 of their content: in a folder, or S3-compatible by URL.

obstore's blocking calls run in threads of our own: its asyncio calls may abort the interpreter
when it ends soon after one (0.12.1, four in ten runs of a script that puts one file).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from server.domain.errors import NotFoundError, StorageUnavailableError
from server.store.trouble import blob_trouble

T = TypeVar("T")
THUMBNAIL_SIZES = (256, 512)
_OWNER = "greenroom-database"  # the one file that is no blob: the id of the database it is for
_THREADS = 8
_LISTED = 1000
# <sha>.png a picture, <sha>.256.webp a thumbnail, <sha>.png#1 what obstore had not finished
_NAME = re.compile(r"^([0-9a-f]{64})\.(?:(\d+)\.)?([a-z]+)(#\d+)?$")


@dataclass(frozen=True, slots=True)
class BlobFile:
    """A file as found. `suffix` is None for a thumbnail, which any picture of that hash owns."""

    path: str
    sha256: str
    suffix: str | None
    is_unfinished: bool


class BlobStore:
    """Puts, gets and deletes files; knows nothing of rows. Equal content is one file."""

    def __init__(self, files: ObjectStore) -> None:
        self._files = files
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="blobs")

    @classmethod
    async def open(cls, url_or_path: str) -> BlobStore:
        """Return the store in a folder, which is made, or at an address such as s3://bucket/x.

        Keys and endpoint of S3 come from AWS_* variables.

        Raises:
            StorageUnavailableError: it cannot be used; the message says why.
        """
        with blob_trouble():
            return cls(await asyncio.to_thread(_files_at, url_or_path))

    async def close(self) -> None:
        """End the threads, after what they still do."""
        await asyncio.to_thread(self._threads.shutdown)

    async def put(self, data: bytes, suffix: str) -> str:
        """Keep `data` and return its SHA-256. All or nothing, and again is the same as once.

        Raises:
            StorageFullError, StorageUnavailableError: nothing was kept.
        """

        def work() -> str:
            sha256 = hashlib.sha256(data).hexdigest()
            obstore.put(self._files, _path(sha256, suffix), data, use_multipart=False)
            return sha256

        return await self._run(work)

    async def get(self, sha256: str, suffix: str) -> bytes:
        """Return a file's bytes.

        Raises:
            NotFoundError: it is not there, because its picture was just deleted.
        """
        data = await self._read(_path(sha256, suffix))
        if data is None:
            raise NotFoundError("the picture's file is gone; it was deleted")
        return data

    async def delete(self, sha256: str, suffix: str) -> None:
        """Delete a file and its thumbnails, as far as they are there."""
        for size in THUMBNAIL_SIZES:
            await self.remove(_path(sha256, f"{size}.webp"))
        await self.remove(_path(sha256, suffix))

    async def get_thumbnail(self, sha256: str, size: int) -> bytes | None:
        """Return a thumbnail that was kept, or None."""
        return await self._read(_path(sha256, f"{size}.webp"))

    async def put_thumbnail(self, sha256: str, size: int, data: bytes) -> None:
        """Keep a thumbnail: derived, so losing it costs only time."""
        path = _path(sha256, f"{size}.webp")
        await self._run(lambda: obstore.put(self._files, path, data, use_multipart=False))

    async def remove(self, path: str) -> None:
        """Delete what is at `path`, if anything is."""

        def work() -> None:
            if isinstance(self._files, LocalStore):  # it sees no unfinished files
                (_folder(self._files) / path).unlink(missing_ok=True)
                return
            obstore.delete(self._files, path)

        with suppress(FileNotFoundError):
            await self._run(work)

    async def owner(self) -> str | None:
        """Return the id of the database that these files are for, None at the very start."""
        data = await self._read(_OWNER)
        return None if data is None else data.decode()

    async def set_owner(self, database_id: str) -> None:
        """Write that id; writing it again is a check that files can be written."""
        data = database_id.encode()
        await self._run(lambda: obstore.put(self._files, _OWNER, data, use_multipart=False))

    async def all(self) -> AsyncIterator[list[BlobFile]]:
        """Yield all files of ours, unfinished ones too, some at a time. Others are left alone."""
        pieces = self._paths()
        while (piece := await self._run(lambda: next(pieces, None))) is not None:
            yield [found for path in piece if (found := _blob_file(path)) is not None]

    def _paths(self) -> Iterator[list[str]]:
        if isinstance(self._files, LocalStore):
            folder = _folder(self._files)
            for inner in folder.iterdir():
                if inner.is_dir():
                    yield [f"{inner.name}/{file.name}" for file in inner.iterdir()]
            return
        for piece in obstore.list(self._files, chunk_size=_LISTED):
            yield [meta["path"] for meta in piece]

    async def _read(self, path: str) -> bytes | None:
        try:
            return await self._run(lambda: bytes(obstore.get(self._files, path).bytes()))
        except FileNotFoundError:
            return None

    async def _run(self, work: Callable[[], T]) -> T:
        with blob_trouble():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _files_at(url_or_path: str) -> ObjectStore:
    if "://" not in url_or_path:
        return LocalStore(url_or_path, mkdir=True)
    parts = urlsplit(url_or_path)
    if parts.scheme == "file":
        return LocalStore(unquote(parts.path), mkdir=True)
    try:
        return from_url(  # client_options would switch off AWS_ALLOW_HTTP
            url_or_path,
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)},
        )
    except (BaseError, ValueError) as error:
        raise StorageUnavailableError(
            f"GREENROOM_BLOBS_URL of kind '{parts.scheme}' cannot be used; write s3://bucket/prefix"
        ) from error


def _folder(files: LocalStore) -> Path:
    if files.prefix is None:
        raise ValueError("a folder of blobs needs its place")
    return Path(files.prefix)


def _path(sha256: str, suffix: str) -> str:
    name = f"{sha256}.{suffix}"
    if not _NAME.match(name):
        raise ValueError(f"no name of a blob: {name!r}")
    return f"{sha256[:2]}/{name}"


def _blob_file(path: str) -> BlobFile | None:
    match = _NAME.match(path.rpartition("/")[2])
    if match is None:
        return None
    sha256, size, suffix, unfinished = match.groups()
    return BlobFile(path, sha256, None if size else suffix, unfinished is not None)
