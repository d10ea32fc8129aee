"""Engines for a database URL: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
from typing import Any

import aiosqlite
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from server.domain.errors import StorageUnavailableError

BUSY_SECONDS = 5
_READERS = 4
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)


def parse(url: str) -> URL:
    """Return the URL with its driver decided.

    Raises:
        StorageUnavailableError: neither SQLite in a file nor PostgreSQL, or psycopg is missing.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StorageUnavailableError(
            "GREENROOM_DATABASE_URL is no address; write postgresql://user@host/name"
        ) from error
    family = parsed.drivername.split("+")[0]
    if family in ("postgres", "postgresql"):
        if importlib.util.find_spec("psycopg") is None:
            raise StorageUnavailableError(
                "PostgreSQL needs the postgres extra: pip install 'greenroom[postgres]'"
            )
        return parsed.set(drivername="postgresql+psycopg")
    if family == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+aiosqlite")
    raise StorageUnavailableError(
        f"a database of kind '{family}' is not known; GREENROOM_DATABASE_URL takes "
        "postgresql://user@host/name or sqlite:///file"
    )


def engines(url: str) -> tuple[AsyncEngine, AsyncEngine]:
    """Return the writer's engine, of one connection, and the readers'."""
    parsed = parse(url)
    arguments = _arguments(parsed)
    writer = create_async_engine(
        parsed, connect_args=arguments, pool_size=1, max_overflow=0, hide_parameters=True
    )
    reader = create_async_engine(
        parsed,
        connect_args=arguments,
        pool_size=_READERS,
        max_overflow=0,
        isolation_level="AUTOCOMMIT",  # one statement a read: it needs no BEGIN
        skip_autocommit_rollback=True,
        pool_pre_ping=parsed.get_backend_name() == "postgresql",
        hide_parameters=True,
    )
    if parsed.get_backend_name() == "sqlite":
        event.listen(writer.sync_engine, "connect", _set_up_writer)
        event.listen(writer.sync_engine, "begin", _begin_immediate)
        event.listen(reader.sync_engine, "connect", _set_up_reader)
    return writer, reader


def client_name() -> str:
    """Return how PostgreSQL's own lists name this process."""
    return f"greenroom {os.getpid()} on {socket.gethostname()}"[:63]


def _arguments(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "postgresql":
        return {"connect_timeout": BUSY_SECONDS, "application_name": client_name()}
    return {
        "timeout": BUSY_SECONDS,
        "isolation_level": None,  # sqlite3 begins no transactions by itself, _begin_immediate does
        "async_creator_fn": _connect_sqlite,
    }


async def _connect_sqlite(*arguments: Any, **options: Any) -> aiosqlite.Connection:  # noqa: ANN401
    connection = aiosqlite.connect(*arguments, **options)
    thread = connection._thread  # noqa: SLF001 - as SQLAlchemy's own connector does it
    thread.daemon = True
    try:
        return await connection
    except BaseException:
        # aiosqlite (0.22.1) tells its thread to end but does not wait: the thread would report
        # to an event loop that may be closed by then, aloud on the console.
        await asyncio.to_thread(thread.join)
        raise


def _set_up_writer(connection: Any, record: object) -> None:  # noqa: ANN401 - DBAPI's own type
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _set_up_reader(connection: Any, record: object) -> None:  # noqa: ANN401 - DBAPI's own type
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only = ON")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that writes later fails at once when another has written meanwhile.
    # Straight to the driver: through a cursor it would cross to its thread three times.
    connection.connection.run_async(lambda driver: driver.execute("BEGIN IMMEDIATE"))
