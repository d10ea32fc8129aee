"""Connections to remote services. A key goes in sealed and comes out by itself alone."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Row, delete, func, select, update

from server.domain.connections import Connection, Parameters
from server.domain.errors import ConflictError
from server.domain.jobs import JobState
from server.store.database import Database, Transaction
from server.store.schema import connections, jobs
from server.store.sealing import Sealing
from server.store.secrets import Place

_UNFINISHED = tuple(state.value for state in JobState if not state.is_final)
_COPIED = tuple(name for name in Connection.model_fields if name not in ("parameters", "has_key"))
_IN_ORDER = (connections.c.position, connections.c.id)


class ConnectionRepository:
    """Connections in their owner's order; no two have one name."""

    def __init__(self, database: Database, sealing: Sealing) -> None:
        self._database = database
        self._sealing = sealing

    async def add(self, connection: Connection, key: SecretStr | None) -> Connection:
        """Keep a new connection behind all others and return it as it is kept.

        Raises:
            ConflictError: its name is taken.
            MasterKeyError: the key cannot be sealed; nothing was kept.
        """

        def work(transaction: Transaction) -> Connection:
            self._sealing.touch(transaction)
            _refuse_taken(transaction, connection)
            last = transaction.execute(select(func.max(connections.c.position))).scalar()
            values = _columns(connection) | {"position": 0 if last is None else last + 1}
            values |= self._sealing.sealed(transaction, key, _place(connection))
            transaction.execute(connections.insert().values(values))
            return _read(_row(transaction, connection.id))

        return await self._database.write(work)

    async def change(self, connection: Connection) -> Connection:
        """Keep what was changed, and the key as it is."""

        def work(transaction: Transaction) -> Connection:
            self._sealing.touch(transaction)
            _refuse_taken(transaction, connection)
            key: Mapping[str, str | None] = {}
            row = _row(transaction, connection.id)
            if _place(_read(row)) != _place(connection):  # it is sealed for its place
                key = self._sealing.sealed(
                    transaction, self._sealing.opened(row), _place(connection)
                )
            return _update(transaction, connection, key)

        return await self._database.write(work)

    async def change_key(self, connection: Connection, key: SecretStr | None) -> Connection:
        """Keep what was changed with another key, or with none."""

        def work(transaction: Transaction) -> Connection:
            self._sealing.touch(transaction)
            _refuse_taken(transaction, connection)
            sealed = self._sealing.sealed(transaction, key, _place(connection))
            return _update(transaction, connection, sealed)

        return await self._database.write(work)

    async def get(self, connection_id: str) -> Connection | None:
        """Return one connection, if there is one."""
        rows = await self._database.read(_by_id(connection_id))
        return _read(rows[0]) if rows else None

    async def list(self) -> builtins.list[Connection]:
        """Return all connections in order."""
        rows = await self._database.read(select(connections).order_by(*_IN_ORDER))
        return [_read(row) for row in rows]

    async def key(self, connection_id: str) -> SecretStr | None:
        """Return a connection's key; None: it has none, or there is no such connection.

        Raises:
            MasterKeyError: it cannot be read.
        """
        rows = await self._database.read(_by_id(connection_id))
        return self._sealing.opened(rows[0]) if rows else None

    async def order(self, ids: Sequence[str]) -> None:
        """Put these first, as they are given; the others follow as they were."""

        def work(transaction: Transaction) -> None:
            self._sealing.touch(transaction)
            found = transaction.execute(select(connections.c.id).order_by(*_IN_ORDER))
            rest = [row.id for row in found if row.id not in ids]
            for position, one in enumerate([*ids, *rest]):
                place = update(connections).where(connections.c.id == one)
                transaction.execute(place.values(position=position))

        await self._database.write(work)

    async def delete(self, connection_id: str) -> bool:
        """Delete a connection and its key; returns whether there was one."""

        def work(transaction: Transaction) -> bool:
            self._sealing.touch(transaction)
            gone = delete(connections).where(connections.c.id == connection_id)
            return transaction.execute(gone).rowcount == 1

        return await self._database.write(work)

    async def needed_by(self, name: str) -> str | None:
        """Return the id of an unfinished job whose model is this connection, if there is one."""
        statement = select(jobs.c.id, jobs.c.resolved).where(jobs.c.state.in_(_UNFINISHED))
        for row in await self._database.read(statement):
            if row.resolved.model == name:
                return str(row.id)
        return None


def _by_id(connection_id: str) -> Any:  # noqa: ANN401 - SQLAlchemy's own type is longer than it helps
    return select(connections).where(connections.c.id == connection_id)


def _row(transaction: Transaction, connection_id: str) -> Row[Any]:
    return transaction.execute(_by_id(connection_id)).one()


def _read(row: Row[Any]) -> Connection:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name
    return Connection(
        **{name: values[name] for name in _COPIED},
        parameters=row.parameters.root,
        has_key=row.sealed_key is not None,
    )


def _columns(connection: Connection) -> dict[str, Any]:
    copied = {name: getattr(connection, name) for name in _COPIED}
    return copied | {"parameters": Parameters(connection.parameters)}


def _place(connection: Connection) -> Place:
    return Place(connection.id, connection.provider.value, connection.base_url)


def _update(
    transaction: Transaction, connection: Connection, key: Mapping[str, str | None]
) -> Connection:
    values = _columns(connection) | dict(key)
    transaction.execute(update(connections).where(connections.c.id == connection.id).values(values))
    return _read(_row(transaction, connection.id))


def _refuse_taken(transaction: Transaction, connection: Connection) -> None:
    same = select(connections.c.id).where(
        connections.c.name == connection.name, connections.c.id != connection.id
    )
    if transaction.execute(same).first() is not None:
        raise ConflictError(
            f"there is a connection '{connection.name}' already; give another name",
            parameter="name",
        )
