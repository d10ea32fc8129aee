"""Connections as the chain sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from server.domain.connections import Connection, ProviderKind
from server.domain.models import ModelInfo
from server.domain.provider import RemoteProvider


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


class Remotes(Protocol):
    """The connections that may be drawn with now."""

    def get(self, name: str) -> Remote | None:
        """Return the active connection called `name`."""
        ...

    def all(self) -> Sequence[Remote]:
        """Return every active connection."""
        ...


class NoRemotes:
    """No connections at all."""

    def get(self, name: str) -> Remote | None:
        """See Remotes."""
        del name
        return None

    def all(self) -> Sequence[Remote]:
        """See Remotes."""
        return ()
