"""Chains, routes and records as the outside sees them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from server.domain.images import Frozen, ModelId, ResolvedRequest
from server.domain.routes import Forecast, MemberKind, Outcome, Route, Tried


class ChainMemberView(Frozen):
    """One of a chain. `kind` unknown: there is nothing of that name now, so it is passed."""

    name: ModelId
    kind: MemberKind


class ChainView(Frozen):
    """Who may draw where `model` cannot, in order. `is_own`: set here, not by models.yaml."""

    model: ModelId
    is_own: bool
    members: tuple[ChainMemberView, ...]


class MemberView(Frozen):
    """One of a job's route; `resolved` is what it would draw, null where it may not: see `code`."""

    name: ModelId
    kind: MemberKind
    is_free: bool
    is_allowed: bool
    resolved: ResolvedRequest | None
    code: str | None
    detail: str | None


class TriedView(Frozen):
    """What became of asking one member for some pictures, or why it was not asked."""

    member: ModelId
    pictures: tuple[int, ...]
    outcome: Outcome
    code: str | None
    detail: str | None
    may_have_billed: bool
    at: datetime
    seconds: float | None
    forecast: Forecast | None


def route_view(route: Route, resolved: ResolvedRequest) -> tuple[MemberView, ...]:
    """Return a route; `resolved` is the job's own."""
    return tuple(
        MemberView(
            name=member.name,
            kind=member.kind,
            is_free=member.is_free,
            is_allowed=member.is_allowed,
            resolved=(member.resolved or resolved) if member.is_allowed else None,
            code=member.code,
            detail=member.detail,
        )
        for member in route.members
    )


def tried_view(tried: Iterable[Tried]) -> tuple[TriedView, ...]:
    """Return a record."""
    return tuple(
        TriedView(**{name: getattr(line, name) for name in TriedView.model_fields})
        for line in tried
    )
