"""Files as they come in: piece by piece, under a name that nobody takes for a whole one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from server.registry.disk import storage_errors

_BATCH_BYTES = 4 * 2**20  # one hop to a thread per batch, not per network packet


async def write(path: Path, chunks: AsyncIterator[bytes]) -> None:
    """Append all pieces to the file at `path`.

    Raises:
        StorageFullError, StorageUnavailableError: the folder takes no more.
    """
    batch = bytearray()
    async for piece in chunks:
        batch += piece
        if len(batch) >= _BATCH_BYTES:
            await asyncio.to_thread(_append, path, bytes(batch))
            batch.clear()
    await asyncio.to_thread(_append, path, bytes(batch))


def settle(fresh: Path, target: Path) -> None:
    """Give a whole file its name, once the disk has all of it.

    Raises:
        StorageFullError, StorageUnavailableError: it cannot.
    """
    with storage_errors():
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.rename(target)


def _append(path: Path, data: bytes) -> None:
    with storage_errors(), path.open("ab") as file:
        file.write(data)
