"""API keys. The secret itself never comes here, only its hash."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from server.domain.keys import ApiKey
from server.domain.money import Money
from server.store.database import Database, Transaction
from server.store.schema import keys

_COLUMNS = tuple(keys.c[name] for name in ApiKey.model_fields)


def _key(row: Row[Any]) -> ApiKey:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
    return ApiKey.model_validate(values | {"scopes": values["scopes"].split()})


class KeyRepository:
    """Keys, revoked ones included: they stay listed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey, secret_hash: str) -> None:
        """Keep a new key."""
        values = dict(key) | {"scopes": " ".join(key.scopes), "secret_hash": secret_hash}

        def work(transaction: Transaction) -> None:
            transaction.execute(keys.insert().values(values))

        await self._database.write(work)

    async def by_hash(self, secret_hash: str) -> ApiKey | None:
        """Return the key with this secret, revoked or not."""
        statement = select(*_COLUMNS).where(keys.c.secret_hash == secret_hash)
        rows = await self._database.read(statement)
        return _key(rows[0]) if rows else None

    async def list(self) -> builtins.list[ApiKey]:
        """Return all keys, newest first."""
        statement = select(*_COLUMNS).order_by(keys.c.id.desc())
        return [_key(row) for row in await self._database.read(statement)]

    async def revoke(self, key_id: str, at: datetime) -> ApiKey | None:
        """End a key for good; revoking again changes nothing. None: there is no such key."""

        def work(transaction: Transaction) -> ApiKey | None:
            ended = update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
            transaction.execute(ended.values(revoked_at=at))
            row = transaction.execute(select(*_COLUMNS).where(keys.c.id == key_id)).first()
            return None if row is None else _key(row)

        return await self._database.write(work)

    async def set_budget(self, key_id: str, budget: Money | None) -> ApiKey | None:
        """Change a key's budget; what is reserved and spent stays. None: there is no such key."""
        statement = update(keys).where(keys.c.id == key_id).values(budget=budget)

        def work(transaction: Transaction) -> ApiKey | None:
            row = transaction.execute(statement.returning(*_COLUMNS)).first()
            return None if row is None else _key(row)

        return await self._database.write(work)

    async def touch(self, key_id: str, at: datetime) -> None:
        """Note that a key was used."""
        statement = update(keys).where(keys.c.id == key_id).values(last_used_at=at)

        def work(transaction: Transaction) -> None:
            transaction.execute(statement)

        await self._database.write(work)
