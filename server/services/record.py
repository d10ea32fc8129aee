"""The record of a job: which members were asked and what came of it, as rows that stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from datetime import datetime

from server.domain.errors import AppError, ProviderError, ProviderUnreachableError
from server.domain.routes import Forecast, Member, Outcome, Route, Tried
from server.services.active import ActiveJob
from server.services.runner import Runner
from server.store.store import Store


class Record:
    """Writes lines; a line is in the database before what it says has consequences."""

    def __init__(self, store: Store, runner: Runner, now: Callable[[], datetime]) -> None:
        self._store = store
        self._runner = runner
        self._now = now

    async def take_up(self, active: ActiveJob, resends: Callable[[str], bool]) -> None:
        """Read the lines of calls that the end of an earlier process cut off.

        Args:
            active: a job of before, with its record.
            resends: whether a member knows a call again, and so does not draw it twice.
        """
        for line in tuple(active.tried):
            safe = resends(line.member)
            read = after_restart(active.job.way, line, active.stored, resends=safe)
            if read is not line:
                await self._keep(active, [read])

    async def begin(self, active: ActiveJob, member: str, pictures: Sequence[int]) -> Tried:
        """Write that a call begins. One that was interrupted goes on under its old number.

        That number is the call's own for good, so a service that knows it draws nothing twice.
        """
        wanted = (Outcome.INTERRUPTED, member, tuple(pictures))
        for old in active.tried:
            if (old.outcome, old.member, old.pictures) == wanted:
                return await self._put(active, old, Outcome.BEGUN)
        line = self._line(active, member, pictures, Outcome.BEGUN)
        return await self._add(active, line)

    async def end(
        self,
        active: ActiveJob,
        begun: Tried,
        *,
        drew: Sequence[int],
        failed: Sequence[int],
        error: AppError | None,
        seconds: float,
    ) -> None:
        """Write how a call ended: what came in one line, what did not in another."""
        if error is None or not failed:
            await self._put(active, begun, Outcome.DREW, seconds=seconds)
            return
        is_free = active.job.way.member(begun.member).is_free
        lines = [_failed(begun, failed, error, seconds, is_free=is_free)]
        if drew:
            rest = self._line(active, begun.member, drew, Outcome.DREW)
            lines.append(rest.model_copy(update={"seconds": seconds}))
        await self._keep(active, lines)

    async def cancelled(self, active: ActiveJob, begun: Tried, seconds: float) -> None:
        """Write that somebody cancelled the job while the call was under way."""
        await self._put(active, begun, Outcome.CANCELLED, seconds=seconds)

    async def failed(
        self,
        active: ActiveJob,
        member: str,
        pictures: Sequence[int],
        error: AppError,
        outcome: Outcome = Outcome.FAILED,
    ) -> None:
        """Write that `member` will not draw these pictures."""
        line = self._line(active, member, pictures, outcome)
        said = {"code": error.code, "detail": error.detail}
        await self._add(active, line.model_copy(update=said))

    async def late(
        self, active: ActiveJob, member: str, pictures: Sequence[int], forecast: Forecast
    ) -> None:
        """Write that `member` was passed over for the deadline, with the numbers."""
        line = self._line(active, member, pictures, Outcome.LATE)
        said = {"code": "deadline-missed", "detail": _late(forecast), "forecast": forecast}
        await self._add(active, line.model_copy(update=said))

    async def skipped(self, active: ActiveJob, barred: Sequence[Member]) -> None:
        """Write of members that the chain passes why they may not draw this; once for each."""
        known = {line.member for line in active.tried}
        lines: list[Tried] = []
        for member in barred:
            if member.name not in known:
                line = self._line(active, member.name, (), Outcome.SKIPPED, ahead=len(lines))
                lines.append(line.model_copy(update={"code": member.code, "detail": member.detail}))
        if lines:
            await self._keep(active, lines)

    def _line(
        self,
        active: ActiveJob,
        member: str,
        pictures: Sequence[int],
        outcome: Outcome,
        *,
        ahead: int = 0,
    ) -> Tried:
        return Tried(
            number=len(active.tried) + ahead,
            member=member,
            pictures=tuple(pictures),
            outcome=outcome,
            code=None,
            detail=None,
            may_have_billed=False,
            at=self._now(),
            seconds=None,
            forecast=None,
        )

    async def _add(self, active: ActiveJob, line: Tried) -> Tried:
        await self._keep(active, [line])
        return line

    async def _put(
        self, active: ActiveJob, line: Tried, outcome: Outcome, *, seconds: float | None = None
    ) -> Tried:
        changed = line.model_copy(update={"outcome": outcome, "seconds": seconds})
        await self._keep(active, [changed])
        return changed

    async def _keep(self, active: ActiveJob, lines: Sequence[Tried]) -> None:
        for line in lines:  # in memory at once, so that no two lines take one number
            active.tried[line.number : line.number + 1] = [line]
        await self._runner.persist(lambda: self._store.tried.keep(active.job.id, *lines))


def after_restart(route: Route, line: Tried, stored: Set[int], *, resends: bool) -> Tried:
    """Return what a line that says "begun" means once the process that wrote it is gone.

    Args:
        route: of the job.
        line: the line.
        stored: pictures that are kept.
        resends: whether that member knows the call again, and so does not draw twice.
    """
    if line.outcome is not Outcome.BEGUN:
        return line
    missing = tuple(picture for picture in line.pictures if picture not in stored)
    if not missing:
        return line.model_copy(update={"outcome": Outcome.DREW})
    if resends or (route.has(line.member) and route.member(line.member).is_free):
        return line.model_copy(update={"outcome": Outcome.INTERRUPTED})
    error = interrupted(line.member)
    return _failed(line, missing, error, None, is_free=False)


def interrupted(member: str) -> ProviderError:
    """Return the error of a call that this server's end cut off."""
    return ProviderUnreachableError(
        f"this server ended while '{member}' was drawing; whether the call was billed is not known",
        may_have_billed=True,
    )


def _failed(
    begun: Tried,
    pictures: Sequence[int],
    error: AppError,
    seconds: float | None,
    *,
    is_free: bool,
) -> Tried:
    asked = isinstance(error, ProviderError) and error.may_have_billed
    billed = asked and not is_free
    return begun.model_copy(
        update={
            "pictures": tuple(pictures),
            "outcome": Outcome.FAILED,
            "code": error.code,
            "detail": error.detail,
            "may_have_billed": billed,
            "seconds": seconds,
        }
    )


def _late(forecast: Forecast) -> str:
    next_one = (
        f"'{forecast.next_member}' has not drawn before, so its time is not known"
        if forecast.next_seconds is None
        else f"'{forecast.next_member}' takes about {forecast.next_seconds:.1f} s"
    )
    return (
        f"it would be done in about {forecast.own_seconds:.1f} s, and {forecast.left_seconds:.1f} s"
        f" are left; {next_one}"
    )
