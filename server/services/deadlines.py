"""Whether a job should leave the local queue, because it would be done too late there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.domain.routes import Forecast, Member, MemberKind, Outcome
from server.services.active import ActiveJob


@dataclass(frozen=True, slots=True)
class Passing:
    """Members to pass over, in order, and the numbers why."""

    members: tuple[str, ...]
    forecast: Forecast


def in_time(
    active: ActiveJob,
    pictures: Sequence[int],
    *,
    left_seconds: float,
    own_seconds: float | None,
    seconds_of: Callable[[str], float | None],
) -> Passing | None:
    """Decide who should draw pictures that wait here.

    A connection that is known to be earlier is taken. Where none is known to be, one that never
    drew before is: staying would surely be too late.

    Args:
        active: the job.
        pictures: those that wait.
        left_seconds: until its deadline.
        own_seconds: until it would be done where it is; None: never measured, so nothing is said.
        seconds_of: returns the same for a connection.

    Returns:
        Who is passed over so that a connection comes next; None: nobody.
    """
    if own_seconds is None or own_seconds <= left_seconds or not pictures:
        return None
    own = active.member(pictures[0])
    if own is None or own.kind is not MemberKind.LOCAL:
        return None
    left = _left(active, pictures)
    times = {m.name: seconds_of(m.name) for m in left if m.kind is MemberKind.REMOTE}
    earlier = {name: s for name, s in times.items() if s is not None and s < own_seconds}
    best = min(earlier, key=lambda name: earlier[name], default=None)
    unknown = next((name for name, seconds in times.items() if seconds is None), None)
    chosen = (
        best if best is not None and (earlier[best] <= left_seconds or not unknown) else unknown
    )
    if chosen is None:
        return None
    ahead = [m.name for m in left]
    return Passing(
        members=tuple(ahead[: ahead.index(chosen)]),
        forecast=Forecast(
            left_seconds=left_seconds,
            own_seconds=own_seconds,
            next_member=chosen,
            next_seconds=times[chosen],
        ),
    )


def _left(active: ActiveJob, pictures: Sequence[int]) -> list[Member]:
    """Return who could still be asked, in order, without those passed over before."""
    gone = {
        line.member
        for line in active.tried
        if line.outcome in (Outcome.FAILED, Outcome.SKIPPED, Outcome.LATE)
        and set(line.pictures) & set(pictures)
    }
    billed = any(line.may_have_billed for line in active.tried)
    return [
        member
        for member in active.job.way.members
        if member.is_allowed and member.name not in gone and (member.is_free or not billed)
    ]
