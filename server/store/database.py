"""One database: many readers, one writer at a time, events told in the order of their commits."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import Connection, CursorResult, Executable, Row, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from server.domain.errors import StorageUnavailableError
from server.domain.jobs import JobError
from server.domain.streams import StateEvent
from server.store import schema
from server.store.connect import engines
from server.store.trouble import database_trouble

T = TypeVar("T")
EventType = Literal["queued", "running", "requeued", "picture", "succeeded", "failed", "cancelled"]
_TURN_SECONDS = 15.0  # waiting longer than this for other writers: the database is stuck


_INSERT_EVENT = schema.events.insert()


def _insert(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@functools.cache  # of a few tables; to put the same statement together takes longer than to run it
def _insert_new(dialect: str, table: Table, unique: tuple[str, ...]) -> Executable:
    statement = _insert(dialect, table).on_conflict_do_nothing(index_elements=unique)
    # Without the option SQLAlchemy throws the count of an INSERT away.
    return statement.execution_options(preserve_rowcount=True)


class Transaction:
    """What a unit of writing works with; it runs in a greenlet, so nothing here is awaited."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.events: list[StateEvent] = []

    def execute(
        self, statement: Executable, values: dict[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Run one statement.

        Args:
            statement: anything.
            values: of an insert. Apart from the statement, which is then found compiled already.
        """
        return self._connection.execute(statement, values)

    def add(self, table: Table, values: dict[str, Any], unique: Sequence[str]) -> bool:
        """Insert a row unless one with the same `unique` columns is there; return whether."""
        statement = _insert_new(self._connection.dialect.name, table, tuple(unique))
        return self.execute(statement, values).rowcount == 1

    def put(self, table: Table, values: dict[str, Any], unique: Sequence[str]) -> None:
        """Insert a row in place of the one with the same `unique` columns."""
        statement = _insert(self._connection.dialect.name, table).values(values)
        self.execute(statement.on_conflict_do_update(index_elements=unique, set_=values))

    def tell(
        self,
        kind: EventType,
        *,
        owner: str,
        job_id: str,
        at: datetime,
        image_id: str | None = None,
        error: JobError | None = None,
    ) -> None:
        """Write a state event; listeners hear of it once the transaction is committed."""
        values = {
            "owner": owner,
            "job_id": job_id,
            "type": kind,
            "at": at,
            "image_id": image_id,
            "error": error,
        }
        result = self.execute(_INSERT_EVENT, values)
        (number,) = result.inserted_primary_key or (None,)
        self.events.append(StateEvent.model_validate({"id": number, **values}))


class _Unit(Generic[T]):
    """One piece of work and how far it came."""

    def __init__(self, work: Callable[[Transaction], T]) -> None:
        self._work = work
        self.committing = False

    def run(self, connection: Connection) -> tuple[T, list[StateEvent]]:
        with connection.begin():
            transaction = Transaction(connection)
            result = self._work(transaction)
            self.committing = True
        return result, transaction.events


class Database:
    """Runs reads side by side and writes one after the other.

    Writers queue in this process instead of busy-looping on the file. The queue also makes
    the numbers of events grow in the order of their commits, on PostgreSQL too.
    """

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader
        self._connection: AsyncConnection | None = None
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
        self.on_event: Callable[[StateEvent], None] | None = None

    @classmethod
    def at(cls, url: str) -> Database:
        """Return the database at `url`; nothing is opened before the first statement."""
        return cls(*engines(url))

    @property
    def dialect(self) -> str:
        """Return sqlite or postgresql."""
        return self._writer.dialect.name

    async def close(self) -> None:
        """Let what is being written end, then close every connection."""
        while self._running:
            await asyncio.wait(self._running)
        if self._connection is not None:
            await self._connection.close()
        await self._writer.dispose()
        await self._reader.dispose()

    async def read(self, statement: Executable) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return the rows that one statement finds."""
        with database_trouble():
            async with self._reader.connect() as connection:
                return (await connection.execute(statement)).all()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a write transaction of its own and return what it returns.

        A caller that is cancelled stops waiting, but the transaction ends and its events are
        told. `work` may run twice when the connection was lost before the commit.

        Raises:
            StorageFullError, StorageUnavailableError: nothing was written.
        """
        return await self.to_the_end(self._write(work))

    async def to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`, and let it run to its end even if the caller is cancelled."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def define(self, work: Callable[[Connection], T]) -> T:
        """Run `work` as a write transaction on the plain connection: for migrations."""
        async with self._my_turn() as connection:
            with database_trouble():
                async with connection.begin():
                    return await connection.run_sync(work)

    async def settle(self) -> bool:
        """Return whether everything that was committed would now survive a power cut.

        PostgreSQL sees to it by itself; SQLite (synchronous = NORMAL) only at a checkpoint, which
        waits for readers, but not for ever.
        """
        if self.dialect != "sqlite":
            return True
        async with self._my_turn() as connection:
            with database_trouble():
                # Straight to the driver: SQLAlchemy would begin a transaction.
                raw: Any = (await connection.get_raw_connection()).driver_connection
                cursor = await raw.execute("PRAGMA wal_checkpoint(FULL)")
                is_busy, *_ = await cursor.fetchone()
                await cursor.close()
        return not is_busy

    async def _write(self, work: Callable[[Transaction], T]) -> T:
        async with self._my_turn() as connection:
            with database_trouble():
                result, events = await self._run(connection, work)
            if self.on_event is not None:
                for event in events:
                    self.on_event(event)
            return result

    async def _run(
        self, connection: AsyncConnection, work: Callable[[Transaction], T]
    ) -> tuple[T, list[StateEvent]]:
        unit = _Unit(work)
        try:
            return await connection.run_sync(unit.run)
        except DBAPIError as error:
            # Lost before the commit was sent, nothing has happened: safe to run again.
            if unit.committing or not error.connection_invalidated:
                raise
        return await connection.run_sync(unit.run)

    @asynccontextmanager
    async def _my_turn(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turn.acquire()
        except TimeoutError as error:
            raise StorageUnavailableError(
                "the database is too slow to take this write; try again later"
            ) from error
        try:
            if self._connection is None:
                with database_trouble():
                    self._connection = await self._writer.connect()
            yield self._connection
        finally:
            self._turn.release()
