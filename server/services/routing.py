"""The fallback chain: decides who may draw a request, in which order, and why others may not."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from server.domain.adapters import StoredAdapter, names_adapters, with_tags_read
from server.domain.errors import (
    ModelNotFoundError,
    ModelUnavailableError,
    ProviderError,
    ProviderUnreachableError,
    RequestRefusedError,
)
from server.domain.images import Fallback, ImageRequest, ResolvedRequest
from server.domain.keys import Caller
from server.domain.models import ModelInfo
from server.domain.resolve import resolve
from server.domain.routes import Member, MemberKind, Route
from server.domain.sizes import SourcePixels
from server.domain.work import flops
from server.registry.registry import Registry
from server.services.adapters import Adapters
from server.services.chains import Chains
from server.services.remote_models import Remote
from server.services.remotes import Remotes
from server.services.sources import Sources

_PATIENCE_SECONDS = 2.0  # the one who asks for a picture waits meanwhile


@dataclass(frozen=True, slots=True)
class Plan:
    """A request decided: what runs, its work, and who may draw it."""

    model: str
    resolved: ResolvedRequest
    flops: float
    route: Route


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request and what its members need to resolve it, each for itself and with one seed."""

    request: ImageRequest
    seed: int
    given: SourcePixels
    adapters: Mapping[str, StoredAdapter]

    def resolved(
        self, info: ModelInfo, twins: Mapping[str, StoredAdapter] | None = None
    ) -> ResolvedRequest:
        adapters = self.adapters if twins is None else twins
        return resolve(self.request, info, seed=self.seed, given=self.given, adapters=adapters)

    @property
    def names_pictures(self) -> bool:
        asked = self.request
        return bool(asked.image or asked.mask or asked.references) or names_adapters(asked)


class _BarredError(Exception):
    """A member of a chain may not draw this."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class Router:
    """Makes routes. Nothing that costs is asked; peers may be asked which adapters they have."""

    def __init__(
        self,
        registry: Registry,
        remotes: Remotes,
        chains: Chains,
        sources: Sources,
        adapters: Adapters,
    ) -> None:
        self._registry = registry
        self._remotes = remotes
        self._chains = chains
        self._sources = sources
        self._adapters = adapters

    async def plan(self, request: ImageRequest, caller: Caller) -> Plan:
        """Decide everything about `request`.

        Raises:
            ModelNotFoundError: no model or connection of that name.
            ModelUnavailableError: it cannot draw, and nobody else may.
            RequestRefusedError: the model asked for does not take a part of the request.
            NotFoundError: a picture that the request names is not the caller's.
        """
        asked = _Asked(
            request=request,
            seed=secrets.randbelow(2**32),
            given=await self._sources.pixels(request, caller),
            adapters=await self._adapters.known_to(request),
        )
        remote = None if request.model is None else self._connection(request.model)
        first = self._local(asked) if remote is None else await self._asked_remote(asked, remote)
        chain = await self._chains.of(request.model or first.name, first.name)
        scope = request.fallback or Fallback.ANY
        others = [await self._other(asked, name, scope) for name in chain]
        members = _unique([first, *others])
        chosen = next((member for member in members if member.is_allowed), None)
        if chosen is None or chosen.resolved is None:
            raise ModelUnavailableError(first.detail or f"'{first.name}' cannot draw now")
        fallback = request.fallback or (Fallback.ANY if others else Fallback.NEVER)
        return Plan(
            model=chosen.name,
            resolved=chosen.resolved,
            flops=chosen.flops,
            route=Route(fallback=fallback, members=_without(chosen.resolved, members)),
        )

    def _connection(self, name: str) -> Remote | None:
        """Return the active connection `name`; a model that was added later goes before it."""
        return None if self._registry.has(name) else self._remotes.get(name)

    def _local(self, asked: _Asked) -> Member:
        """Return the model asked for; one that cannot be loaded is barred, so others may draw."""
        info = self._registry.info(asked.request.model)
        try:
            self._registry.engine_model(info.id)
        except ModelUnavailableError as error:
            return _barred(info.id, MemberKind.LOCAL, error.code, error.detail)
        resolved = asked.resolved(info)
        return _allowed(info.id, MemberKind.LOCAL, resolved, flops(info.family, resolved))

    async def _asked_remote(self, asked: _Asked, remote: Remote) -> Member:
        try:
            return await self._remote(asked, remote)
        except (ModelUnavailableError, ProviderError) as error:
            return _barred(remote.name, MemberKind.REMOTE, error.code, error.detail)
        except _BarredError as error:
            raise RequestRefusedError(error.detail) from error

    async def _other(self, asked: _Asked, name: str, scope: Fallback) -> Member:
        remote = self._connection(name)
        kind = MemberKind.LOCAL if remote is None else MemberKind.REMOTE
        try:
            _check_scope(scope, name, remote)
            if remote is None:
                return self._other_local(asked, name)
            return await self._remote(asked, remote)
        except ModelNotFoundError:
            detail = f"'{name}' is no model, and no connection that is switched on"
            return _barred(name, MemberKind.UNKNOWN, "unknown-member", detail)
        except (
            _BarredError,
            ModelUnavailableError,
            ProviderError,
            RequestRefusedError,
        ) as error:
            return _barred(name, kind, error.code, error.detail)

    def _other_local(self, asked: _Asked, name: str) -> Member:
        info = self._registry.info(name)
        self._registry.engine_model(info.id)
        resolved = asked.resolved(info)
        return _allowed(info.id, MemberKind.LOCAL, resolved, flops(info.family, resolved))

    async def _remote(self, asked: _Asked, remote: Remote) -> Member:
        if remote.provider is None or remote.info is None:
            detail = f"connection '{remote.name}' cannot be used: {remote.reason}"
            raise ModelUnavailableError(detail)
        twins = await _twins(asked, remote)
        if asked.names_pictures and not remote.connection.takes_pictures:
            raise _BarredError(
                "pictures-stay",
                f"pictures and characters are not sent to '{remote.name}' until its owner allows "
                "it: set takes_pictures of the connection",
            )
        resolved = asked.resolved(remote.info, twins)
        refusal = remote.provider.refusal(resolved)
        if refusal is not None:
            raise RequestRefusedError(refusal.detail, parameter=refusal.parameter)
        return _allowed(remote.name, MemberKind.REMOTE, resolved, 0.0, is_free=remote.is_free)


def _check_scope(scope: Fallback, name: str, remote: Remote | None) -> None:
    if scope is Fallback.NEVER:
        raise _BarredError("fallback-never", "the request allows no fallback")
    if scope is Fallback.LOCAL and remote is not None and not remote.is_free:
        raise _BarredError(
            "fallback-local",
            f"the request stays on our own machines, and '{name}' is not marked as trusted",
        )


@runtime_checkable
class _HasAdapters(Protocol):
    """A provider that has adapters of its own: another Greenroom."""

    async def adapters(self) -> tuple[StoredAdapter, ...]: ...


async def _twins(asked: _Asked, remote: Remote) -> Mapping[str, StoredAdapter]:
    """Return the adapters that `remote` has for those that the request names.

    Raises:
        ProviderError: it does not tell.
    """
    if not names_adapters(asked.request):
        return {}
    wanted = [one.id for one in with_tags_read(asked.request).adapters]
    provider: object = remote.provider
    listed: Sequence[StoredAdapter] = ()
    if isinstance(provider, _HasAdapters):
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                listed = await provider.adapters()
        except TimeoutError as error:
            raise ProviderUnreachableError(
                f"'{remote.name}' does not say which adapters it has"
            ) from error
    theirs = {adapter.id: adapter for adapter in listed}
    alone = [name for name in wanted if not _is_twin(asked.adapters.get(name), theirs.get(name))]
    if alone:
        raise _no_twin(alone, remote)
    return theirs


def _is_twin(ours: StoredAdapter | None, theirs: StoredAdapter | None) -> bool:
    """Return whether both names mean one file; one that we do not have is theirs alone."""
    return theirs is not None and (ours is None or ours.sha256 == theirs.sha256)


def _no_twin(names: Sequence[str], remote: Remote) -> _BarredError:
    """Say of trained characters by name that they are not there, and what would do instead."""
    said = ", ".join(f"'{name}'" for name in names)
    takes = remote.declared.parameter("references") is not None and remote.connection.takes_pictures
    instead = "pictures of it as references would be taken instead" if takes else "leave it out"
    return _BarredError("no-twin", f"{said} has no twin on '{remote.name}'; {instead}")


def _allowed(
    name: str, kind: MemberKind, resolved: ResolvedRequest, work: float, *, is_free: bool = True
) -> Member:
    return Member(
        name=name,
        kind=kind,
        is_free=is_free,
        resolved=resolved,
        flops=work,
        code=None,
        detail=None,
    )


def _barred(name: str, kind: MemberKind, code: str, detail: str) -> Member:
    return Member(
        name=name, kind=kind, is_free=False, resolved=None, flops=0.0, code=code, detail=detail
    )


def _unique(members: list[Member]) -> tuple[Member, ...]:
    """Keep the first of each name: an alias and its model are one."""
    found: dict[str, Member] = {}
    for member in members:
        found.setdefault(member.name, member)
    return tuple(found.values())


def _without(resolved: ResolvedRequest, members: tuple[Member, ...]) -> tuple[Member, ...]:
    """Leave out what the job's own row says already."""
    return tuple(
        member.model_copy(update={"resolved": None}) if member.resolved is resolved else member
        for member in members
    )
