"""Adapters that every key may draw with. Their files lie in the models' folder."""

from __future__ import annotations

import builtins

from sqlalchemy import delete, or_, select

from server.domain.adapters import StoredAdapter
from server.domain.jobs import JobState
from server.store.columns import read
from server.store.database import Database, Transaction
from server.store.schema import adapters, jobs

_UNFINISHED = tuple(state.value for state in JobState if not state.is_final)


class AdapterRepository:
    """Adapters by name; no two have one file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, adapter: StoredAdapter) -> StoredAdapter | None:
        """Keep a row; where its file or else its name is taken, return the one that has it."""
        same = or_(adapters.c.id == adapter.id, adapters.c.sha256 == adapter.sha256)
        holders = select(adapters).where(same).order_by(adapters.c.sha256 != adapter.sha256)

        def work(transaction: Transaction) -> StoredAdapter | None:
            row = transaction.execute(holders).first()
            if row is not None:
                return read(StoredAdapter, row)
            transaction.execute(adapters.insert().values(dict(adapter)))
            return None

        return await self._database.write(work)

    async def get(self, adapter_id: str) -> StoredAdapter | None:
        """Return the adapter of that name, if there is one."""
        rows = await self._database.read(select(adapters).where(adapters.c.id == adapter_id))
        return read(StoredAdapter, rows[0]) if rows else None

    async def list(self) -> builtins.list[StoredAdapter]:
        """Return all adapters by name."""
        rows = await self._database.read(select(adapters).order_by(adapters.c.id))
        return [read(StoredAdapter, row) for row in rows]

    async def needed_by(self, adapter: StoredAdapter) -> str | None:
        """Return the id of a job that still draws with `adapter`, if there is one."""
        statement = select(jobs.c.id, jobs.c.resolved).where(jobs.c.state.in_(_UNFINISHED))
        for row in await self._database.read(statement):
            if any(one.sha256 == adapter.sha256 for one in row.resolved.adapters):
                return str(row.id)
        return None

    async def delete(self, adapter_id: str) -> bool:
        """Delete a row; returns whether there was one."""
        statement = delete(adapters).where(adapters.c.id == adapter_id)
        return await self._database.write(lambda t: t.execute(statement).rowcount == 1)
