"""One file over HTTP onto disk: continued where it was cut, checked before it gets its name."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import httpx2

from server.domain.errors import ConflictError, ModelUnavailableError
from server.registry.disk import ensure_space, storage_errors
from server.registry.manifest import PulledFile

_CHUNK_BYTES = 2**20
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_DENIED = (401, 403)
_PARTIAL = 206
_RANGE_WRONG = 416


class DeniedError(Exception):
    """The server wants a token, or another one."""


class GoneError(Exception):
    """The server has no such file."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch. One of the two checksums is known; git's covers small files of a repo."""

    url: str
    path: Path
    name: str  # as messages call it
    size_bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Downloader:
    """Fetches files, a few times when the line breaks."""

    def __init__(self, *, tries: int = 5, pause_seconds: float = 1.0) -> None:
        """Set how patient it is.

        Args:
            tries: attempts in a row that may bring nothing.
            pause_seconds: before the second attempt; doubles from there.
        """
        self._tries = tries
        self._pause_seconds = pause_seconds

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """One for all files: reading the certificates takes a tenth of a second."""
        return ssl.create_default_context()

    async def fetch(self, wanted: Wanted, progress: Callable[[int], None]) -> PulledFile:
        """Fetch one file, unless it is there already.

        Args:
            wanted: what and where to.
            progress: is called with the bytes that are there.

        Raises:
            ConflictError: another process is fetching it.
            DeniedError: a token is needed.
            GoneError: there is no such file.
            ModelUnavailableError: the line or the file is bad; what came stays for the next try,
                unless its checksum was wrong.
            StorageFullError: it does not fit.
        """
        part = wanted.path.with_name(f"{wanted.path.name}.part")
        with storage_errors():
            part.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part, wanted.name) as file:
            sink = _Sink(file)
            if wanted.path.is_file():
                return await asyncio.to_thread(_present, wanted)
            begun = await asyncio.to_thread(sink.take_up)
            await self._fill(wanted, sink, progress)
            if begun and not sink.matches(wanted):
                sink.restart()  # what lay there was of another file
                await self._fill(wanted, sink, progress)
            if not sink.matches(wanted):
                sink.restart()
                raise ModelUnavailableError(
                    f"'{wanted.name}' does not have the checksum it should have and was thrown "
                    "away; fetch it again, and if it stays so, its publisher changed it"
                )
            with storage_errors():
                await asyncio.to_thread(os.fsync, file.fileno())
                part.replace(wanted.path)
            return PulledFile(
                path=wanted.path.name, size_bytes=sink.size, sha256=sink.digest.hexdigest()
            )

    async def _fill(self, wanted: Wanted, sink: _Sink, progress: Callable[[int], None]) -> None:
        failures = 0
        while True:
            before = sink.size
            try:
                await self._attempt(wanted, sink, progress)
            except (httpx2.TransportError, _TryAgainError) as error:
                failures = 1 if sink.size > before else failures + 1
                if failures >= self._tries:
                    raise ModelUnavailableError(
                        f"the connection for '{wanted.name}' broke {failures} times; what came is "
                        "kept, so run the same again to go on"
                    ) from error
                await asyncio.sleep(self._pause_seconds * 2 ** (failures - 1))
            else:
                return

    async def _attempt(self, wanted: Wanted, sink: _Sink, progress: Callable[[int], None]) -> None:
        if wanted.size_bytes is not None and sink.size >= wanted.size_bytes:
            return
        headers = {"Accept-Encoding": "identity", **wanted.headers}
        if sink.size:
            headers["Range"] = f"bytes={sink.size}-"
        # httpx2 drops Authorization when a redirect leads to another host.
        async with (
            httpx2.AsyncClient(timeout=30, follow_redirects=True, verify=self._tls) as client,
            client.stream("GET", wanted.url, headers=headers) as response,
        ):
            if not _usable(response, wanted, sink):
                return
            if response.status_code != _PARTIAL:
                sink.restart()
            _room(response, wanted, sink)
            await _drain(response, wanted, sink, progress)
        if wanted.size_bytes is not None and sink.size < wanted.size_bytes:
            raise _TryAgainError


async def _drain(
    response: httpx2.Response, wanted: Wanted, sink: _Sink, progress: Callable[[int], None]
) -> None:
    """Write what comes in larger pieces, off the event loop; the last one too when it is cut."""
    waiting = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            waiting += chunk
            if len(waiting) >= _CHUNK_BYTES:
                full, waiting = waiting, bytearray()
                await asyncio.to_thread(sink.write, full)
                _not_more(wanted, sink)
                progress(sink.size)
    finally:
        sink.write(waiting)
    _not_more(wanted, sink)
    progress(sink.size)


class _TryAgainError(Exception):
    """The server is busy, or sent less than it should."""


class _Sink:
    """The unfinished file with its running hash."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def take_up(self) -> bool:
        """Hash what an earlier fetch left; True when there was something."""
        self._file.seek(0)
        while block := self._file.read(_CHUNK_BYTES):
            self.digest.update(block)
            self.size += len(block)
        return self.size > 0

    def write(self, chunk: bytes | bytearray) -> None:
        with storage_errors():
            self._file.write(chunk)
        self.digest.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        with storage_errors():
            self._file.seek(0)
            self._file.truncate()
        self.digest = hashlib.sha256()
        self.size = 0

    def matches(self, wanted: Wanted) -> bool:
        if wanted.sha256 is not None:
            return self.digest.hexdigest() == wanted.sha256
        self._file.seek(0)
        return _git_sha1(self._file.read(), self.size) == wanted.git_sha1


def _usable(response: httpx2.Response, wanted: Wanted, sink: _Sink) -> bool:
    """Return whether the answer brings bytes; False when they are all here already."""
    status = response.status_code
    if status in _DENIED:
        raise DeniedError(wanted.name)
    if status == 404:
        raise GoneError(wanted.name)
    if status == _RANGE_WRONG:
        if wanted.size_bytes is None and sink.matches(wanted):
            return False
        sink.restart()
        raise _TryAgainError
    if status in _RETRIED:
        raise _TryAgainError
    if not response.is_success:
        raise ModelUnavailableError(f"the server answered {status} for '{wanted.name}'")
    return True


def _room(response: httpx2.Response, wanted: Wanted, sink: _Sink) -> None:
    told = response.headers.get("content-length", "")
    left = int(told) if told.isdigit() else (wanted.size_bytes or 0) - sink.size
    ensure_space(wanted.path.parent, max(left, 0))


def _not_more(wanted: Wanted, sink: _Sink) -> None:
    if wanted.size_bytes is not None and sink.size > wanted.size_bytes:
        sink.restart()
        raise ModelUnavailableError(
            f"'{wanted.name}' is longer than it should be and was thrown away; fetch it again"
        )


def _present(wanted: Wanted) -> PulledFile:
    """Return a file that was fetched before; its name proves its checksum."""
    with wanted.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return PulledFile(path=wanted.path.name, size_bytes=wanted.path.stat().st_size, sha256=digest)


def _git_sha1(data: bytes, size: int) -> str:
    # SHA-1 because that is git's name for the file; it came over TLS from the same place.
    return hashlib.sha1(b"blob %d\0" % size + data, usedforsecurity=False).hexdigest()


@contextmanager
def _locked(part: Path, name: str) -> Iterator[BinaryIO]:
    """Open the unfinished file for this process alone."""
    with storage_errors():
        file = part.open("a+b")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(f"'{name}' is being fetched by another process") from error
        try:
            yield file
        finally:
            with storage_errors():
                file.flush()
                if part.exists() and part.stat().st_size == 0:
                    part.unlink()
