"""API keys by the hash of their secret."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Row, insert, select, update

from server.domain.keys import ApiKey
from server.store.database import Database
from server.store.tables import keys

_COLUMNS = [keys.c[name] for name in ApiKey.model_fields]


class KeyRepository:
    """Keys; a secret itself is never here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey, secret_hash: str) -> None:
        """Keep a new key."""
        values = {**key.model_dump(), "scopes": list(key.scopes), "secret_hash": secret_hash}
        async with self._database.write() as connection:
            await connection.execute(insert(keys).values(values))

    async def by_hash(self, secret_hash: str) -> ApiKey | None:
        """Return the key whose secret has this hash."""
        query = select(*_COLUMNS).where(keys.c.secret_hash == secret_hash)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _key(row)

    async def list(self) -> list[ApiKey]:
        """Return all keys, newest first."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(*_COLUMNS).order_by(keys.c.id.desc()))
            return [_key(row) for row in rows]

    async def revoke(self, key_id: str, at: datetime) -> ApiKey | None:
        """Note that a key is worthless from now on; the first time counts."""
        change = (
            update(keys)
            .where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
            .values(revoked_at=at)
        )
        async with self._database.write() as connection:
            await connection.execute(change)
            query = select(*_COLUMNS).where(keys.c.id == key_id)
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _key(row)

    async def touch(self, key_id: str, at: datetime) -> None:
        """Note when a key was last used."""
        async with self._database.write() as connection:
            await connection.execute(
                update(keys).where(keys.c.id == key_id).values(last_used_at=at)
            )


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey.model_validate(dict(row._mapping))  # noqa: SLF001 - the documented way to names
