"""Connections as their administrators see them. No defaults, and never a key."""

from __future__ import annotations

from datetime import datetime

from server.domain.connections import Check, Connection, ProviderKind, RemoteModelInfo
from server.domain.images import Frozen, ParameterValue
from server.domain.models import ModelInfo


class ConnectionView(Frozen):
    """A connection; `reason` says why it cannot be used now, where it cannot."""

    id: str
    name: str
    provider: ProviderKind
    model: str
    base_url: str | None
    parameters: dict[str, ParameterValue]
    is_active: bool
    is_trusted: bool
    takes_pictures: bool
    concurrency: int
    position: int
    has_key: bool
    created_at: datetime
    updated_at: datetime
    reason: str | None
    needs_a_key: bool


class CheckView(Check):
    """What a test of a connection found out."""


class RemoteModelsView(Frozen):
    """A service's models; name the `id` of one as a connection's `model`, or any other it has.

    `age_seconds` is null where the service never told; the models are then a few that it is known
    to have. `problem` says why the list is not fresh.
    """

    models: tuple[RemoteModelInfo, ...]
    age_seconds: float | None
    problem: str | None


class ProviderView(Frozen):
    """A kind of service. `models` are those it is known to have, each with all it takes."""

    kind: ProviderKind
    needs_base_url: bool
    needs_key: bool
    models: tuple[ModelInfo, ...]


class SkippedView(Frozen):
    """A connection that was not imported, and why."""

    name: str
    reason: str


class ImportedView(Frozen):
    """What an import did; those in `needs_key` do not draw before they have one."""

    created: tuple[ConnectionView, ...]
    needs_key: tuple[str, ...]
    skipped: tuple[SkippedView, ...]


def connection_view(connection: Connection, reason: str | None) -> ConnectionView:
    """Return `connection` with whether, and why not, it can be used."""
    return ConnectionView(
        **dict(connection),
        reason=reason,
        needs_a_key=connection.needs_key and not connection.has_key,
    )
