"""Which master key is in use, what is sealed with it, and changing it without losing anything."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Row, select, update

from server.domain.errors import MasterKeyError
from server.store.database import Database, Transaction
from server.store.master_keys import MasterKey, MasterKeys
from server.store.schema import about, connections
from server.store.secrets import Place, seal, unseal

_IN_USE = "master_key"  # of `about`: the id of the key that everything is sealed with
_CHANGED = "connections"  # of `about`: another value after every change


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a change of the master key did.

    Attributes:
        resealed: how many keys are sealed with the new one now.
        forgotten: names of connections that need their key anew.
        dropped_old: whether the old one is gone from the file.
    """

    resealed: int
    forgotten: tuple[str, ...]
    dropped_old: bool = False


class Sealing:
    """Seals keys on their way into a row. The id of the key in use is kept beside the rows.

    A process that has another master key can therefore tell, and writes nothing.
    """

    def __init__(self, database: Database, keys: MasterKeys | None) -> None:
        self._database = database
        self._maybe_keys = keys

    @property
    def _keys(self) -> MasterKeys:
        if self._maybe_keys is None:
            raise ValueError("this store was opened without master_keys")
        return self._maybe_keys

    def touch(self, transaction: Transaction) -> None:
        """Note a change of connections; until the commit, other changes wait for this one."""
        values = {"name": _CHANGED, "value": secrets.token_hex(8)}
        transaction.put(about, values, ["name"])

    async def changed(self) -> str | None:
        """Return a word that is another one after every change, whoever made it."""
        return await self._note(_CHANGED)

    def sealed(
        self, transaction: Transaction, secret: SecretStr | None, place: Place
    ) -> Mapping[str, str | None]:
        """Return the columns of a key. To be called after `touch`, in the same transaction.

        Raises:
            MasterKeyError: the master key in use is not here.
        """
        if secret is None:
            return {"sealed_key": None, "master_key_id": None}
        key = self._in_use(transaction)
        return {"sealed_key": seal(secret, key, place), "master_key_id": key.id}

    def opened(self, row: Row[Any]) -> SecretStr | None:
        """Return the key in a connection's row, None where it has none.

        Raises:
            MasterKeyError: the master key it was sealed with is not here.
        """
        if row.sealed_key is None:
            return None
        return unseal(row.sealed_key, self._keys.find(row.master_key_id), place_of(row))

    async def trouble(self) -> str | None:
        """Return why keys cannot be read, None when all is well. Nothing is written."""
        in_use = await self._note(_IN_USE)
        try:
            if in_use is not None:
                self._keys.find(in_use)
        except MasterKeyError as error:
            return error.detail
        return None

    async def rotate(self, *, forget: bool = False) -> Rotation:
        """Seal everything anew with a new master key. Servers may run meanwhile.

        Killed at any moment, nothing is lost: the new key is on the disk before a row needs it,
        all rows change in one transaction, and the old key goes after that is on the disk, too.

        Args:
            forget: let connections that cannot be opened lose their key, instead of failing.

        Raises:
            MasterKeyError: a key cannot be opened, so nothing was changed.
            InvalidRequestError: the new key is not in the settings yet.
            ConflictError: another process does the same.
        """
        with self._keys.changing():
            fresh = self._keys.next(await self._note(_IN_USE))
            done = await self._database.write(lambda t: self.reseal(t, fresh, forget=forget))
            if not await self._database.settle():
                return done  # the next rotation drops both old keys
            self._keys.keep_only(fresh.id)
        return replace(done, dropped_old=True)

    def reseal(self, transaction: Transaction, fresh: MasterKey, *, forget: bool) -> Rotation:
        """Seal every row with `fresh` and note that it is in use; all in `transaction`."""
        self.touch(transaction)
        forgotten, resealed = [], 0
        has_key = connections.c.sealed_key.is_not(None)
        for row in transaction.execute(select(connections).where(has_key)).all():
            try:
                secret = self.opened(row)
            except MasterKeyError:
                if not forget:
                    raise
                secret = None
                forgotten.append(row.name)
            self._set(transaction, row, secret, fresh)
            resealed += secret is not None
        transaction.put(about, {"name": _IN_USE, "value": fresh.id}, ["name"])
        return Rotation(resealed, tuple(forgotten))

    def _set(
        self, transaction: Transaction, row: Row[Any], secret: SecretStr | None, key: MasterKey
    ) -> None:
        values: dict[str, str | None] = {"sealed_key": None, "master_key_id": None}
        if secret is not None:
            sealed = seal(secret, key, place_of(row))
            values = {"sealed_key": sealed, "master_key_id": key.id}
        transaction.execute(update(connections).where(connections.c.id == row.id).values(values))

    def _in_use(self, transaction: Transaction) -> MasterKey:
        statement = select(about.c.value).where(about.c.name == _IN_USE)
        in_use = transaction.execute(statement).scalar()
        if in_use is not None:
            return self._keys.find(in_use)
        key = self._keys.first()
        transaction.put(about, {"name": _IN_USE, "value": key.id}, ["name"])
        return key

    async def _note(self, name: str) -> str | None:
        rows = await self._database.read(select(about.c.value).where(about.c.name == name))
        return str(rows[0][0]) if rows else None


def place_of(row: Row[Any]) -> Place:
    """Return what the key in a connection's row is for."""
    return Place(row.id, row.provider, row.base_url)
