"""Connections to remote services: made, tested, changed; only administrators come here."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

import structlog
from pydantic import SecretStr

from server.domain.connections import (
    Connection,
    ConnectionChange,
    ConnectionsFile,
    ConnectionWish,
    PortableConnection,
    ProviderKind,
)
from server.domain.errors import ConflictError, InvalidRequestError, MasterKeyError, NotFoundError
from server.domain.ids import IdMaker
from server.providers.remote import RemoteProvider
from server.services.connection_views import (
    CheckView,
    ConnectionView,
    ImportedView,
    ProviderView,
    RemoteModelsView,
    SkippedView,
    connection_view,
)
from server.services.remote_models import Remote
from server.services.remotes import Remotes
from server.store.store import Store

log = structlog.get_logger(__name__)

_MOST_NAME_CHARACTERS = 64
_MAY_BE_TAKEN_AWAY = ("base_url", "key")


class Connections:
    """The server's connections.

    Args:
        store: where they are kept.
        remotes: the providers that they stand for.
        is_model: whether a registered model has this id or alias.
        new_id: makes ids.
        now: the clock.
    """

    def __init__(
        self,
        store: Store,
        remotes: Remotes,
        is_model: Callable[[str], bool],
        new_id: IdMaker,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._remotes = remotes
        self._is_model = is_model
        self._new_id = new_id
        self._now = now

    def provider(self, name: str) -> RemoteProvider:
        """Return what draws for the active connection `name`; see `Remotes.provider`."""
        return self._remotes.provider(name)

    def providers(self) -> Mapping[str, RemoteProvider]:
        """Return what draws for each active connection that can be used, by name."""
        return self._remotes.providers()

    def remote(self, name: str) -> Remote | None:
        """Return the active connection of that name with what it declares, usable or not."""
        return self._remotes.get(name)

    def remotes(self) -> tuple[Remote, ...]:
        """Return every active connection in order, usable or not."""
        return self._remotes.all()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a connection came, went or became another one."""
        self._remotes.on_change(listener)

    async def kinds(self) -> tuple[ProviderView, ...]:
        """Return every kind of service that a connection can be to."""
        return await self._remotes.kinds()

    async def list(self) -> tuple[ConnectionView, ...]:
        """Return all connections in order."""
        return tuple(map(self._view, await self._store.connections.list()))

    async def get(self, connection_id: str) -> ConnectionView:
        """Return one connection by id or name.

        Raises:
            NotFoundError: there is none; the message names those that are there.
        """
        return self._view(await self._row(connection_id))

    async def create(self, wish: ConnectionWish) -> ConnectionView:
        """Make a connection.

        Raises:
            ConflictError: the name is taken.
            InvalidRequestError: the service has no such parameter, or needs an address.
            MasterKeyError: the key cannot be encrypted.
        """
        return await self._changed("connection.created", await self._create(wish))

    async def _create(self, wish: ConnectionWish) -> Connection:
        now = self._now()
        fields = {name: getattr(wish, name) for name in PortableConnection.model_fields}
        connection = Connection(
            **fields,
            id=self._new_id(),
            has_key=wish.key is not None,
            created_at=now,
            updated_at=now,
        )
        await self._check(connection, wish.key)
        return await self._store.connections.add(connection, wish.key)

    async def edit(self, connection_id: str, change: ConnectionChange) -> ConnectionView:
        """Change a connection; its key stays unless another one is given.

        Raises:
            ConflictError: the name is taken, or a job needs the old one.
            InvalidRequestError: see `create`; or the key would go to another address unasked.
        """
        old = await self._row(connection_id)
        given = change.model_dump(exclude_unset=True, exclude={"key"})
        fields = {k: v for k, v in given.items() if v is not None or k in _MAY_BE_TAKEN_AWAY}
        new = Connection.model_validate({**dict(old), **fields, "updated_at": self._now()})
        if new.name != old.name:
            await self._refuse_needed(old, "renamed")
        if "key" in change.model_fields_set:
            await self._check(new, change.key)
            kept = await self._store.connections.change_key(new, change.key)
        else:
            _refuse_redirected(old, new)  # before anything is sent there
            await self._check(new, await self._key(old))
            kept = await self._store.connections.change(new)
        return await self._changed("connection.changed", kept)

    async def duplicate(self, connection_id: str, name: str | None = None) -> ConnectionView:
        """Make another connection like this one, key included.

        Args:
            connection_id: id or name of the one to copy.
            name: of the copy; None: made of the old one.
        """
        old = await self._row(connection_id)
        key = await self._store.connections.key(old.id)
        wish = {field: getattr(old, field) for field in PortableConnection.model_fields}
        wish["name"] = name or await self._free_name(old.name)
        return await self.create(ConnectionWish.model_validate({**wish, "key": key}))

    async def order(self, ids: Sequence[str]) -> tuple[ConnectionView, ...]:
        """Put these first, in this order; the others follow as they were.

        Raises:
            NotFoundError: one of them is not there.
            InvalidRequestError: one stands there twice.
        """
        found = [(await self._row(one)).id for one in ids]
        if len(set(found)) < len(found):
            raise InvalidRequestError("name each connection once", parameter="ids")
        await self._store.connections.order(found)
        await self._remotes.refresh()
        return await self.list()

    async def delete(self, connection_id: str) -> None:
        """Delete a connection and its key; pictures drawn with it stay.

        Raises:
            ConflictError: an unfinished job draws with it.
        """
        connection = await self._row(connection_id)
        await self._refuse_needed(connection, "deleted")
        await self._store.connections.delete(connection.id)
        await self._remotes.refresh()
        log.info("connection.deleted", connection=connection.name)

    async def test(self, connection_id: str) -> CheckView:
        """Call the service with the key and return what it tells.

        Raises:
            ProviderError: it does not answer, or not as it should; the error says which.
            MasterKeyError: the key cannot be read.
        """
        connection = await self._row(connection_id)
        check = await (await self._remotes.made(connection)).check()
        log.info("connection.tested", connection=connection.name, seconds=check.seconds)
        return CheckView(**dict(check))

    async def models(self, connection_id: str, *, fresh: bool = False) -> RemoteModelsView:
        """Return the models of a connection's service, and how old that list is.

        Args:
            connection_id: id or name.
            fresh: ask the service now, and not only when its last answer is old.

        Raises:
            MasterKeyError: the key cannot be read.
        """
        provider = await self._remotes.made(await self._row(connection_id))
        found = await provider.catalogue(fresh=fresh)
        return RemoteModelsView(
            models=found.models, age_seconds=found.age_seconds, problem=found.problem
        )

    async def export(self) -> ConnectionsFile:
        """Return all connections without their keys."""
        rows = await self._store.connections.list()
        fields = PortableConnection.model_fields
        return ConnectionsFile(
            type="greenroom-connections",
            version=1,
            connections=tuple(
                PortableConnection(**{name: getattr(row, name) for name in fields}) for row in rows
            ),
        )

    async def import_(self, file: ConnectionsFile) -> ImportedView:
        """Make every connection of `file` that can be made; none that is here is changed."""
        created, skipped = [], []
        for one in file.connections:
            try:
                created.append(await self._create(ConnectionWish(**dict(one))))
            except (ConflictError, InvalidRequestError) as error:
                skipped.append(SkippedView(name=one.name, reason=error.detail))
        await self._remotes.refresh()
        log.info("connections.imported", created=len(created), skipped=len(skipped))
        return ImportedView(
            created=tuple(map(self._view, created)),
            needs_key=tuple(one.name for one in created if one.needs_key),
            skipped=tuple(skipped),
        )

    async def _row(self, id_or_name: str) -> Connection:
        rows = await self._store.connections.list()
        found = next((row for row in rows if id_or_name in (row.id, row.name)), None)
        if found is None:
            have = ", ".join(row.name for row in rows[:20]) or "none"
            raise NotFoundError(f"no connection '{id_or_name}'; there are {have}")
        return found

    async def _changed(self, event: str, connection: Connection) -> ConnectionView:
        await self._remotes.refresh()
        log.info(event, connection=connection.name, provider=connection.provider.value)
        return self._view(connection)

    def _view(self, connection: Connection) -> ConnectionView:
        reason = self._remotes.reason(connection)
        if self._is_model(connection.name):  # added later, past this server
            reason = "a model has this name, and is drawn with instead; rename the connection"
        return connection_view(connection, reason)

    async def _check(self, connection: Connection, key: SecretStr | None) -> None:
        if self._is_model(connection.name):
            raise ConflictError(
                f"there is a model '{connection.name}' already; give another name",
                parameter="name",
            )
        if connection.provider is ProviderKind.GREENROOM and connection.base_url is None:
            raise InvalidRequestError(
                "another Greenroom has no address of its own; give base_url", parameter="base_url"
            )
        await self._remotes.check_parameters(connection, key)

    async def _refuse_needed(self, connection: Connection, deed: str) -> None:
        job_id = await self._store.connections.needed_by(connection.name)
        if job_id is not None:
            raise ConflictError(
                f"job '{job_id}' draws with connection '{connection.name}', so it cannot be {deed} "
                "now; wait, cancel the job, or make the connection inactive for new ones"
            )

    async def _key(self, connection: Connection) -> SecretStr | None:
        with suppress(MasterKeyError):  # all but the key can be changed without it
            return await self._store.connections.key(connection.id)
        return None

    async def _free_name(self, name: str) -> str:
        taken = {row.name for row in await self._store.connections.list()}
        for number in itertools.count(1):
            ending = "-copy" if number == 1 else f"-copy-{number}"
            candidate = name[: _MOST_NAME_CHARACTERS - len(ending)] + ending
            if candidate not in taken and not self._is_model(candidate):
                return candidate
        raise AssertionError("count() has no end")


def _refuse_redirected(old: Connection, new: Connection) -> None:
    """Refuse to send a key where its owner never said that it should go."""
    if old.has_key and old.destination != new.destination:
        raise InvalidRequestError(
            "the key belongs to the old address; give the new one's key with it, or null for none",
            parameter="key",
        )
