"""The providers that connections stand for: made once, kept alive, made anew after a change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from pydantic import SecretStr

from server.domain.connections import Connection, ProviderKind
from server.domain.errors import (
    AppError,
    InvalidRequestError,
    MasterKeyError,
    ModelNotFoundError,
    ModelUnavailableError,
    StorageUnavailableError,
)
from server.domain.images import ParameterValue
from server.domain.models import ModelInfo
from server.domain.options import check_value
from server.providers.remote import RemoteProvider
from server.services.connection_views import ProviderView
from server.services.kinds import kinds
from server.store.store import Store

log = structlog.get_logger(__name__)

MakeProvider = Callable[[Connection, SecretStr | None], RemoteProvider]
_LOOK_SECONDS = 2.0  # the command line changes connections beside a running server


@dataclass(frozen=True, slots=True)
class Remote:
    """An active connection: what draws for it, or why nothing does, and what its model takes."""

    connection: Connection
    provider: RemoteProvider | None
    info: ModelInfo
    reason: str | None

    @property
    def name(self) -> str:
        """What requests and chains call it."""
        return self.connection.name

    @property
    def is_free(self) -> bool:
        """Whether drawing there costs no money: it belongs to the same people."""
        return self.connection.is_trusted

    @property
    def resends_safely(self) -> bool:
        """Whether the same call sent again is known there, and not drawn twice."""
        return self.connection.provider is ProviderKind.GREENROOM


class Remotes:
    """Every active connection by name. Reads are of memory alone.

    Args:
        store: where connections and their keys are.
        make: makes a provider out of a connection and its key.
    """

    def __init__(self, store: Store, make: MakeProvider) -> None:
        self._store = store
        self._make = make
        self._remotes: dict[str, Remote] = {}
        self._seen: str | None = None
        self.names: frozenset[str] = frozenset()  # of all connections, inactive ones too
        self._turn = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._watching: asyncio.Task[None] | None = None

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a connection came, went or became another one."""
        self._listeners.append(listener)

    def provider(self, name: str) -> RemoteProvider:
        """Return what draws for the active connection `name`.

        Raises:
            ModelNotFoundError: there is no active connection of that name.
            ModelUnavailableError: it cannot be used; the message says why.
        """
        remote = self._remotes.get(name)
        if remote is None:
            raise ModelNotFoundError(f"no connection '{name}' is active")
        if remote.provider is None:
            raise ModelUnavailableError(f"connection '{name}' cannot be used: {remote.reason}")
        return remote.provider

    def providers(self) -> Mapping[str, RemoteProvider]:
        """Return what draws for each active connection that can be used, in their order."""
        return {n: r.provider for n, r in self._remotes.items() if r.provider is not None}

    def all(self) -> tuple[Remote, ...]:
        """Return every active connection in order."""
        return tuple(self._remotes.values())

    def get(self, name: str) -> Remote | None:
        """Return the active connection of that name."""
        return self._remotes.get(name)

    def reason(self, connection: Connection) -> str | None:
        """Return why an active connection cannot be used, None when it can."""
        remote = self._remotes.get(connection.name)
        return None if remote is None else remote.reason

    async def made(self, connection: Connection) -> RemoteProvider:
        """Return a provider for one use, whether the connection is active or not.

        Raises:
            MasterKeyError: its key cannot be read.
        """
        remote = self._remotes.get(connection.name)
        if remote is not None and remote.provider is not None and remote.connection == connection:
            return remote.provider  # it remembers what the service listed
        return self._make(connection, await self._store.connections.key(connection.id))

    async def kinds(self) -> tuple[ProviderView, ...]:
        """Return every kind of service, as forms need it."""
        return await kinds(self._make)

    async def check_parameters(self, connection: Connection) -> None:
        """Refuse defaults that the connection's model does not take.

        Raises:
            InvalidRequestError, RequestRefusedError: the message names the parameter.
        """
        check_defaults(await declared(self._make(connection, None)), connection.parameters)

    async def start(self) -> None:
        """Make all providers and look for changes from then on."""
        trouble = await self._store.sealing.trouble()
        if trouble is not None:
            log.warning("connections.no_master_key", reason=trouble)
        await self.refresh()
        self._watching = asyncio.create_task(self._watch(), name="connections")

    async def stop(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def refresh(self) -> None:
        """Take over what changed in the database since the last look."""
        async with self._turn:
            seen = await self._store.sealing.changed()
            is_well = all(remote.reason is None for remote in self._remotes.values())
            if seen == self._seen and is_well:
                return
            every = await self._store.connections.list()
            self.names = frozenset(row.name for row in every)
            rows = [row for row in every if row.is_active]
            kept = [await self._kept(row) for row in rows]
            self._remotes = {one.connection.name: one for one in kept if one is not None}
            self._seen = seen
        for listener in self._listeners:
            listener()

    async def _kept(self, connection: Connection) -> Remote | None:
        """Return the provider of a connection: the present one where nothing changed.

        None: it was made by a version that knew more services, or other rules.
        """
        old = self._remotes.get(connection.name)
        if old is not None and old.reason is None and _is_same(old.connection, connection):
            return replace(old, connection=connection)
        reason, key = None, None
        try:
            key = await self._store.connections.key(connection.id)
        except MasterKeyError as error:
            reason = error.detail
        if connection.needs_key and not connection.has_key:
            reason = "it has no key; give it one"
        try:
            provider = self._make(connection, key)
            info = await declared(provider)
        except AppError as error:
            log.warning("connection.unusable", connection=connection.name, reason=error.detail)
            return None
        return Remote(connection, provider if reason is None else None, info, reason)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with suppress(StorageUnavailableError):  # health tells
                await self.refresh()


def check_defaults(info: ModelInfo, defaults: Mapping[str, ParameterValue]) -> None:
    """Refuse defaults that the model does not take.

    Raises:
        InvalidRequestError, RequestRefusedError: the message names the parameter.
    """
    known = {p.name: p for p in (*info.parameters, *(info.remote.options if info.remote else ()))}
    for name, value in defaults.items():
        if name not in known:
            raise InvalidRequestError(
                f"model '{info.name}' has no parameter '{name}'; it has "
                f"{', '.join(known) or 'none'}",
                parameter="parameters",
            )
        check_value(value, known[name], info.name, parameter="parameters")


async def declared(provider: RemoteProvider) -> ModelInfo:
    """Return what the model of a connection takes."""
    (info,) = await provider.models()
    return info


def _is_same(one: Connection, other: Connection) -> bool:
    return one == other.model_copy(update={"position": one.position})
