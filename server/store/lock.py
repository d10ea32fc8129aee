"""One server per data folder and per database: the second one says who the first is."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from server.domain.errors import AlreadyServingError
from server.store.connect import client_name, parse
from server.store.trouble import database_trouble, folder_trouble

_KEY = 0x6772_6E72  # of PostgreSQL's advisory lock; such locks are per database
_KEEPALIVE = {"connect_timeout": 5, "keepalives_idle": 30, "keepalives_interval": 10}
_HOLDER = text(
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND objid = :key AND granted"
    " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@asynccontextmanager
async def server_lock(data_dir: Path, url: str) -> AsyncIterator[None]:
    """Hold the data folder and the database until the end of the block, or of this process.

    Raises:
        AlreadyServingError: another process holds one of them; the message names it.
        StorageUnavailableError, StorageFullError: the folder or database cannot be used.
    """
    parsed = parse(url)
    with _held(data_dir / "server.lock"):
        if parsed.get_backend_name() == "postgresql":
            async with _held_database(url):
                yield
            return
        # A database elsewhere can be shared by two data folders.
        with _held(Path(f"{parsed.database}.lock")):
            yield


@contextmanager
def _held(path: Path) -> Iterator[None]:
    with folder_trouble():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyServingError(
                f"process {pid} already serves this data; stop it, or set GREENROOM_DATA_DIR"
            ) from error
        with folder_trouble():
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)  # this also unlocks; the file stays, removing it would be a race


@asynccontextmanager
async def _held_database(url: str) -> AsyncIterator[None]:
    engine = create_async_engine(
        parse(url),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        connect_args={"application_name": client_name(), **_KEEPALIVE},
    )
    try:
        with database_trouble():
            connection = await engine.connect()
        try:
            with database_trouble():
                locked = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=_KEY)
                if not await connection.scalar(locked):
                    holder = await connection.scalar(_HOLDER.bindparams(key=_KEY))
                    raise AlreadyServingError(
                        f"'{holder or 'another server'}' already serves this database; stop it, "
                        "or set another GREENROOM_DATABASE_URL"
                    )
            yield
        finally:
            await connection.close()
    finally:
        await engine.dispose()
