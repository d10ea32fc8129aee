"""Routes: who may draw a request, in which order, and what became of each who was asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from server.domain.errors import (
    AppError,
    GpuMemoryError,
    ModelNotFoundError,
    ModelUnavailableError,
    ProviderError,
    WorkerDiedError,
)
from server.domain.images import Fallback, Frozen, ModelId, ResolvedRequest


class MemberKind(StrEnum):
    """Where a member of a route draws."""

    LOCAL = "local"  # a model of the registry, on this machine's own workers
    REMOTE = "remote"  # a connection
    UNKNOWN = "unknown"  # a name in a chain that is neither, or is switched off


class Member(Frozen):
    """Somebody whom a route names.

    Attributes:
        name: a model's id or a connection's name.
        kind: which of the two.
        is_free: whether drawing there costs no money: here, or at a trusted connection.
        resolved: the request as this member draws it; None: it may not, or as the job's own.
        flops: its work, for all pictures; 0 for a connection.
        code: why it may not draw this; None: it may.
        detail: the same in words.
    """

    name: ModelId
    kind: MemberKind
    is_free: bool
    resolved: ResolvedRequest | None
    flops: float
    code: str | None
    detail: str | None

    @property
    def is_allowed(self) -> bool:
        """Whether it may be asked."""
        return self.code is None


class Route(Frozen):
    """Decided when the job came in, and kept with it."""

    fallback: Fallback
    members: tuple[Member, ...]

    @property
    def is_plain(self) -> bool:
        """Whether one local model draws it or nobody does: nothing is ever tried beside it."""
        return len(self.members) == 1 and self.members[0].kind is MemberKind.LOCAL

    def has(self, name: str) -> bool:
        """Return whether `name` is one of the members."""
        return any(member.name == name for member in self.members)

    def member(self, name: str) -> Member:
        """Return the member called `name`, which must be one."""
        return next(member for member in self.members if member.name == name)


class Outcome(StrEnum):
    """What became of asking one member."""

    BEGUN = "begun"  # a call is under way
    DREW = "drew"
    FAILED = "failed"
    SKIPPED = "skipped"  # it was not asked
    LATE = "late"  # it would miss the deadline; asked only when nobody else is left
    INTERRUPTED = "interrupted"  # this server ended meanwhile; asking again costs nothing
    CANCELLED = "cancelled"


class Forecast(Frozen):
    """The numbers behind a decision for the deadline, in seconds from that moment."""

    left_seconds: float
    own_seconds: float
    next_member: ModelId
    next_seconds: float | None  # None: it never drew before


class Tried(Frozen):
    """One line of a job's record. `number` counts from 0 within the job."""

    number: int
    member: ModelId
    pictures: tuple[int, ...]
    outcome: Outcome
    code: str | None
    detail: str | None
    may_have_billed: bool
    at: datetime
    seconds: float | None
    forecast: Forecast | None


_MOVES_ON = (GpuMemoryError, ModelNotFoundError, ModelUnavailableError, WorkerDiedError)


def moves_on(error: AppError) -> bool:
    """Return whether the next member may be asked after `error`.

    A member that is broken, busy or gone moves on. One that declines to draw this does not, and
    neither does a request that is wrong.
    """
    return error.moves_on if isinstance(error, ProviderError) else isinstance(error, _MOVES_ON)


def alone(model: str, flops: float) -> Route:
    """Return the route of a job that knows none: its model, here."""
    here = Member(
        name=model,
        kind=MemberKind.LOCAL,
        is_free=True,
        resolved=None,
        flops=flops,
        code=None,
        detail=None,
    )
    return Route(fallback=Fallback.NEVER, members=(here,))


def next_member(route: Route, tried: Iterable[Tried], picture: int) -> Member | None:
    """Return who is to draw `picture`, or None when everybody was asked.

    After a call that may have been billed only members that cost nothing are left. A member that
    was passed over for the deadline is better than none.
    """
    mine = [one for one in tried if picture in one.pictures]
    gone = {one.member for one in mine if one.outcome in (Outcome.FAILED, Outcome.SKIPPED)}
    late = {one.member for one in mine if one.outcome is Outcome.LATE}
    only_free = any(one.may_have_billed for one in mine)
    left = [
        member
        for member in route.members
        if member.is_allowed and member.name not in gone and (member.is_free or not only_free)
    ]
    return next((m for m in left if m.name not in late), next(iter(left), None))


def runs(pictures: Sequence[int]) -> list[tuple[int, ...]]:
    """Return ascending `pictures` in unbroken runs: the seeds of one call follow each other."""
    found: list[tuple[int, ...]] = []
    for picture in pictures:
        if found and found[-1][-1] == picture - 1:
            found[-1] += (picture,)
        else:
            found.append((picture,))
    return found
