"""One database, two kinds: transactions, and the errors that storage itself makes."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import URL, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from server.domain.errors import AppError, StorageFullError, StorageUnavailableError

BUSY_SECONDS = 5.0
_EVENTS_LOCK = 0x67726565  # any number: PostgreSQL's advisory lock that orders event ids
_FULL = ("database or disk is full", "no space left", "disk quota exceeded", "disk full")


def database_url(text_url: str) -> URL:
    """Return the URL with the async driver we use.

    Raises:
        StorageUnavailableError: not SQLite and not PostgreSQL.
    """
    url = make_url(text_url)
    kind = url.get_backend_name() if "+" in url.drivername else url.drivername
    if kind in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if kind == "sqlite":
        return url.set(drivername="sqlite+aiosqlite")
    raise StorageUnavailableError(f"no support for a database of kind '{kind}'; use postgresql://")


class Database:
    """Read and write transactions.

    SQLite takes one writer at a time: ours queue here for their turn instead of polling its lock,
    and begin with BEGIN IMMEDIATE, so that no transaction fails half-way for want of the lock.
    """

    def __init__(self, text_url: str) -> None:
        self.url = database_url(text_url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgres_engine(self.url)
        self._writing = asyncio.Lock()

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection that sees one consistent state."""
        with storage_errors():
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection whose changes are all kept, or none."""
        with storage_errors():
            if self.is_sqlite:
                async with self._writing, self.engine.connect() as connection:
                    await connection.execution_options(greenroom_writes=True)
                    async with connection.begin():
                        yield connection
            else:
                async with self.engine.begin() as connection:
                    yield connection

    async def order_events(self, connection: AsyncConnection) -> None:
        """Let event ids of this transaction become visible in the order of their numbers."""
        if not self.is_sqlite:
            await connection.execute(
                text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _EVENTS_LOCK}
            )


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what disks and databases say into the two errors that callers know."""
    try:
        yield
    except AppError:
        raise
    except DBAPIError as error:
        said = str(error.orig).lower()
        if any(words in said for words in _FULL):
            raise StorageFullError(
                "the disk is full; make room, and waiting work goes on"
            ) from error
        if isinstance(error, OperationalError) or error.connection_invalidated:
            raise StorageUnavailableError(_remedy(said)) from error
        raise
    except OSError as error:
        raise translated(error) from error


def translated(error: OSError) -> AppError:
    """Return the error that stands for `error` of a file system or a connection."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError("the disk is full; make room, and waiting work goes on")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StorageUnavailableError("the data folder does not take writes; check its rights")
    return StorageUnavailableError(f"storage does not answer: {error.strerror or 'no reason'}")


def _remedy(said: str) -> str:
    if "locked" in said or "busy" in said:
        return f"the database was locked for {BUSY_SECONDS:g} s; end the program that holds it"
    if "readonly" in said or "read-only" in said or "unable to open" in said:
        return "the data folder does not take writes; check its rights"
    return "the database does not answer; check that it runs and GREENROOM_DATABASE_URL is right"


def _sqlite_engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=4,
        max_overflow=4,
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, record: object) -> None:  # noqa: ANN401 - the driver's own
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:  # noqa: ANN401
        writes = connection.get_execution_options().get("greenroom_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres_engine(url: URL) -> AsyncEngine:
    return create_async_engine(url, pool_size=5, max_overflow=10, pool_pre_ping=True)
