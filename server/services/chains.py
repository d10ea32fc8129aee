"""Chains: who may draw where a model cannot. The owner's go before those of models.yaml."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from server.domain.errors import InvalidRequestError, NotFoundError
from server.domain.routes import MemberKind
from server.registry.registry import Registry
from server.services.route_views import ChainMemberView, ChainView
from server.store.store import Store

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 2.0  # the command line changes chains beside a running server


class Chains:
    """Looks chains up, and changes the owner's."""

    def __init__(
        self, store: Store, registry: Registry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._own: Mapping[str, tuple[str, ...]] = {}
        self._read_at: float | None = None  # None: read them before they are used

    async def of(self, *names: str) -> tuple[str, ...]:
        """Return the chain of the first of `names` that has one.

        Args:
            names: as the request said it, then the model's own id: an alias may have its own.
        """
        now = self._clock()
        if self._read_at is None or now - self._read_at > _LOOK_SECONDS:
            self._own, self._read_at = await self._store.chains.all(), now
        own = self._own
        found = next((own[name] for name in names if name in own), None)
        return self._written(names[-1]) if found is None else found

    async def list(self) -> tuple[ChainView, ...]:
        """Return every chain, the owner's first."""
        own = await self._store.chains.all()
        written = (info.id for info in self._registry.infos())
        names = [*own, *(name for name in written if name not in own and self._written(name))]
        active = await self._connections()
        return tuple(self._view(name, own, active) for name in names)

    async def get(self, model: str) -> ChainView:
        """Return the chain of a model, alias or connection; it may be empty.

        Raises:
            ModelNotFoundError: there is nothing of that name.
        """
        own, connections = await self._store.chains.all(), await self._connections()
        if model not in own and model not in connections:
            self._registry.info(model)
        return self._view(model, own, connections)

    async def put(self, model: str, members: Sequence[str]) -> ChainView:
        """Set the chain of a model, alias or connection, in place of the one that it had.

        Raises:
            ModelNotFoundError: there is nothing of that name.
            InvalidRequestError: a member stands twice, is the model itself, or is not there.
        """
        connections = await self._connections()
        if model not in connections:
            self._registry.info(model)
        for index, name in enumerate(members):
            if name == model or name in members[:index]:
                raise InvalidRequestError(
                    f"'{name}' would be asked twice; name each member once", parameter="members"
                )
            if name not in connections and not self._registry.has(name):
                raise InvalidRequestError(
                    f"'{name}' is no model and no connection; see `greenroom models list` and "
                    "`greenroom connections list`",
                    parameter="members",
                )
        await self._store.chains.put(model, members)
        self._read_at = None
        log.info("chain.set", model=model, members=len(members))
        return await self.get(model)

    async def remove(self, model: str) -> None:
        """Forget the owner's chain; what models.yaml says counts again.

        Raises:
            NotFoundError: the owner has set none.
        """
        is_gone = await self._store.chains.delete(model)
        self._read_at = None
        if not is_gone:
            raise NotFoundError(f"no chain was set for '{model}'")
        log.info("chain.removed", model=model)

    async def _connections(self) -> Mapping[str, bool]:
        """Return all connections by name, and whether each is switched on."""
        return {row.name: row.is_active for row in await self._store.connections.list()}

    def _written(self, model: str) -> tuple[str, ...]:
        return self._registry.fallback(model) if self._registry.has(model) else ()

    def _view(
        self, model: str, own: Mapping[str, tuple[str, ...]], connections: Mapping[str, bool]
    ) -> ChainView:
        names = own.get(model, self._written(model))
        return ChainView(
            model=model,
            is_own=model in own,
            members=tuple(
                ChainMemberView(name=name, kind=self._kind(name, connections)) for name in names
            ),
        )

    def _kind(self, name: str, connections: Mapping[str, bool]) -> MemberKind:
        if self._registry.has(name):
            return MemberKind.LOCAL
        return MemberKind.REMOTE if connections.get(name) else MemberKind.UNKNOWN
