"""Chains that the server's owner has set."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select

from server.store.database import Database, Transaction
from server.store.schema import chains


class ChainRepository:
    """Who may draw instead, by model, alias or connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, tuple[str, ...]]:
        """Return every chain by what it belongs to."""
        rows = await self._database.read(select(chains).order_by(chains.c.model))
        return {row.model: tuple(row.members.split()) for row in rows}

    async def put(self, model: str, members: Sequence[str]) -> None:
        """Keep a chain in place of the one before."""
        values = {"model": model, "members": " ".join(members)}
        await self._database.write(lambda t: t.put(chains, values, ["model"]))

    async def delete(self, model: str) -> bool:
        """Forget a chain; returns whether there was one."""

        def work(transaction: Transaction) -> bool:
            return transaction.execute(delete(chains).where(chains.c.model == model)).rowcount == 1

        return await self._database.write(work)
