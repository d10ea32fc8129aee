"""The providers that connections stand for: made once, kept alive, made anew after a change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog
from pydantic import SecretStr

from server.domain.connections import Connection, ProviderKind
from server.domain.errors import (
    AppError,
    MasterKeyError,
    ModelNotFoundError,
    ModelUnavailableError,
    ProviderError,
    StorageUnavailableError,
)
from server.domain.models import ModelInfo
from server.providers.remote import RemoteProvider
from server.services.connection_views import ProviderView
from server.services.kinds import kinds
from server.services.remote_models import Remote, check_defaults
from server.store.store import Store

log = structlog.get_logger(__name__)

MakeProvider = Callable[[Connection, SecretStr | None], RemoteProvider]
_LOOK_SECONDS = 2.0  # the command line changes connections beside a running server
_PATIENCE_SECONDS = 0.5  # for a service that has to be asked what its model takes
_ASK_AGAIN_SECONDS = 60.0
_ASK_SILENT_SECONDS = 10.0
_CHECK_SECONDS = 5.0


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
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._asked_at: dict[str, float] = {}

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a connection came, went or became another one."""
        self._listeners.append(listener)

    def provider(self, name: str) -> RemoteProvider:
        """Return what draws for the active connection `name`.

        Raises:
            ModelNotFoundError: there is no active connection of that name.
            ModelUnavailableError: it must not be called; the message says why.
        """
        remote = self._remotes.get(name)
        if remote is None:
            raise ModelNotFoundError(f"no connection '{name}' is active")
        if remote.provider is None:
            raise ModelUnavailableError(f"connection '{name}' cannot be used: {remote.reason}")
        return remote.provider

    def providers(self) -> Mapping[str, RemoteProvider]:
        """Return what draws for each active connection that may be called, in their order."""
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

    async def check_parameters(self, connection: Connection, key: SecretStr | None) -> None:
        """Refuse defaults that the connection's model does not take, as far as can be known now.

        Raises:
            InvalidRequestError, RequestRefusedError: the message names the parameter.
        """
        provider = self._make(connection, key)
        if not connection.parameters or (key is None and _is_peer(connection)):
            return
        with suppress(ProviderError, TimeoutError):  # then a request will tell
            async with asyncio.timeout(_CHECK_SECONDS):
                for info in await provider.models():
                    check_defaults(info, connection.parameters)

    async def start(self) -> None:
        """Make all providers and look for changes from then on."""
        trouble = await self._store.sealing.trouble()
        if trouble is not None:
            log.warning("connections.no_master_key", reason=trouble)
        await self.refresh()
        self._watching = asyncio.create_task(self._watch(), name="connections")

    async def stop(self) -> None:
        """Look and ask no more."""
        tasks = [*self._asking.values(), *filter(None, (self._watching,))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def refresh(self) -> None:
        """Take over what changed in the database since the last look."""
        async with self._turn:
            seen = await self._store.sealing.changed()
            is_well = all(remote.key_problem is None for remote in self._remotes.values())
            if seen != self._seen or not is_well:
                every = await self._store.connections.list()
                self.names = frozenset(row.name for row in every)
                self._replace([await self._kept(row) for row in every if row.is_active])
                self._seen = seen
        await self._ask_all()

    def _replace(self, remotes: list[Remote | None]) -> None:
        fresh = {one.connection.name: one for one in remotes if one is not None}
        is_same = list(fresh.items()) == list(self._remotes.items())
        self._remotes = fresh
        if not is_same:
            self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    async def _kept(self, connection: Connection) -> Remote | None:
        """Return the provider of a connection: the present one where nothing changed.

        None: it was made by a version that knew more services, or other rules.
        """
        problem, key = None, None
        try:
            key = await self._store.connections.key(connection.id)
        except MasterKeyError as error:
            problem = error.detail
        if connection.needs_key and not connection.has_key:
            problem = "it has no key; give it one"
        old = self._remotes.get(connection.name)
        if old is not None and old.key_problem == problem and _is_same(old.connection, connection):
            return replace(old, connection=connection)
        self._asked_at.pop(connection.name, None)
        try:
            return Remote(connection, self._make(connection, key), None, problem)
        except AppError as error:
            log.warning("connection.unusable", connection=connection.name, reason=error.detail)
            return None

    async def _ask_all(self) -> None:
        """Ask what models take. Most providers just know; the others are not waited for long."""
        now = time.monotonic()
        for name, remote in self._remotes.items():
            again = _ASK_SILENT_SECONDS if remote.info is None else _ASK_AGAIN_SECONDS
            if remote.key_problem is not None and _is_peer(remote.connection):
                continue  # it would only say that a key is missing
            if name not in self._asking and now >= self._asked_at.get(name, -again) + again:
                self._asked_at[name] = now
                task = asyncio.create_task(self._ask(remote), name=f"ask {name}")
                self._asking[name] = task
                task.add_done_callback(partial(self._asked, name))
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=_PATIENCE_SECONDS)

    def _asked(self, name: str, _task: asyncio.Task[None]) -> None:
        del self._asking[name]

    async def _ask(self, remote: Remote) -> None:
        info: ModelInfo | None = None
        silence: str | None = "the service has no such model"
        try:
            info = next(iter(await remote.made.models()), None)
        except ProviderError as error:
            silence = error.detail
        name = remote.connection.name
        now = self._remotes.get(name)
        if now is None or now.made is not remote.made:
            return  # it became another one meanwhile
        self._remotes[name] = replace(now, info=info, silence=silence if info is None else None)
        if self._remotes[name] != now:
            self._tell()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with suppress(StorageUnavailableError):  # health tells
                await self.refresh()


def _is_peer(connection: Connection) -> bool:
    """Return whether its models are only known by asking, with a key."""
    return connection.provider is ProviderKind.GREENROOM


def _is_same(one: Connection, other: Connection) -> bool:
    return one == other.model_copy(update={"position": one.position})
