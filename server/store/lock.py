"""One server for one data folder and one database."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from server.domain.errors import AlreadyServingError
from server.store.connect import parse
from server.store.trouble import blob_trouble, database_trouble

_SERVER_LOCK = 0x67726E72  # any number, the same for every Greenroom


@asynccontextmanager
async def server_lock(data_dir: Path, url: str) -> AsyncIterator[None]:
    """Hold the right to serve; the system takes it back when this process ends in any way.

    Raises:
        AlreadyServingError: another process holds it.
        StorageUnavailableError: the folder or the database cannot be used.
    """
    async with AsyncExitStack() as stack:
        stack.callback(os.close, _lock_folder(data_dir))
        if parse(url).get_backend_name() == "postgresql":
            await stack.enter_async_context(_database_lock(url))
        yield


def _lock_folder(data_dir: Path) -> int:
    with blob_trouble():
        descriptor = os.open(data_dir / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise AlreadyServingError(
            f"process {holder} already serves this data folder; end it, or choose another with "
            "GREENROOM_DATA_DIR"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


@asynccontextmanager
async def _database_lock(url: str) -> AsyncIterator[None]:
    engine = create_async_engine(parse(url), poolclass=NullPool)
    try:
        with database_trouble():
            connection = await engine.connect()
        try:
            is_ours = await connection.scalar(
                text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _SERVER_LOCK}
            )
            if not is_ours:
                raise AlreadyServingError(
                    "another server already uses this database; give each its own database"
                )
            await connection.commit()  # the lock belongs to the session, not to the transaction
            yield
        finally:
            await connection.close()
    finally:
        await engine.dispose()
