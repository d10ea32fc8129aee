"""Moves pictures on to the next member of their route, or ends their job."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import structlog

from server.domain.errors import AppError, ProviderError
from server.domain.jobs import JobState
from server.domain.routes import Member, MemberKind, Outcome, moves_on, next_member, runs
from server.services.active import ActiveJob
from server.services.deadlines import Passing
from server.services.fairness import FairQueue, Unit, unit
from server.services.lanes import Lanes
from server.services.record import Record
from server.services.runner import Runner

log = structlog.get_logger(__name__)


class Moves:
    """Puts pictures into the queue they belong to, and from one into another.

    Args:
        queue: of this machine's workers.
        lanes: the connections' queues.
        record: gets a line for every member that is left.
        runner: ends jobs.
        changed: called when units came or went.
    """

    def __init__(
        self,
        queue: FairQueue,
        lanes: Lanes,
        record: Record,
        runner: Runner,
        changed: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._lanes = lanes
        self._record = record
        self._runner = runner
        self._changed = changed

    async def admit(self, active: ActiveJob) -> None:
        """Let a job wait; members that its chain begins with, but that may not draw, are noted."""
        await self._note_barred(active, list(active.missing()))
        await self._push_or_end(active, list(active.missing()), None)

    def push(self, active: ActiveJob, pictures: Sequence[int]) -> None:
        """Let pictures wait at whoever is to draw them; one that nobody may draw is left out."""
        by_member: dict[str, list[int]] = {}
        for picture in pictures:
            if (member := active.member(picture)) is not None:
                by_member.setdefault(member.name, []).append(picture)
        for name, mine in by_member.items():
            self._push_to(active, active.job.way.member(name), mine)
        self._changed()

    def discard(self, job_id: str) -> tuple[Unit, ...]:
        """Take out and return all that waits of a job."""
        gone = (*self._queue.discard(job_id), *self._lanes.discard(job_id))
        self._changed()
        return gone

    async def on(
        self,
        active: ActiveJob,
        pictures: Sequence[int],
        member: str,
        error: AppError,
        *,
        is_noted: bool = False,
        outcome: Outcome = Outcome.FAILED,
    ) -> None:
        """Move pictures on from `member`, which does not draw them, or end the job.

        What still waits there of the same job moves along: it would fare no better, and whoever
        is next may draw it all in one call.

        Args:
            active: the job.
            pictures: their indexes.
            member: who does not draw them.
            error: why.
            is_noted: the record has it already.
            outcome: what the record says of it.
        """
        if active.job.way.is_plain:  # nobody else, so nothing to note
            await self._runner.finish(active, JobState.FAILED, error)
            return
        waiting = self._taken(active, member) if moves_on(error) else ()
        fresh = tuple(p for p in waiting if p not in pictures)
        if not (pictures or fresh):
            return
        unnoted = fresh if is_noted else (*pictures, *fresh)
        if unnoted:
            await self._record.failed(active, member, sorted(unnoted), error, outcome)
        if not moves_on(error):
            await self._runner.finish(active, JobState.FAILED, error)
            return
        moving = sorted((*pictures, *fresh))
        await self._note_barred(active, moving)
        log.info("job.moved", job_id=active.job.id, member=member, code=error.code)
        await self._push_or_end(active, moving, error)

    async def pass_over(self, active: ActiveJob, passing: Passing) -> None:
        """Move what waits here to a connection that will be earlier, and note the numbers."""
        moving = self._taken(active, passing.members[0])
        if not moving:
            return
        for name in passing.members:
            await self._record.late(active, name, moving, passing.forecast)
        log.info("job.passed_over", job_id=active.job.id, next=passing.forecast.next_member)
        await self._push_or_end(active, moving, None)

    def has_another(self, active: ActiveJob, member: str, pictures: Sequence[int]) -> bool:
        """Return whether somebody else than `member` may draw all these pictures."""
        route = active.job.way
        left = tuple(one for one in route.members if one.name != member)
        others = route.model_copy(update={"members": left})
        return all(next_member(others, active.tried, p) is not None for p in pictures)

    async def _push_or_end(
        self, active: ActiveJob, pictures: Sequence[int], error: AppError | None
    ) -> None:
        if active.ended.is_set():  # somebody cancelled it meanwhile
            return
        if all(active.member(picture) is not None for picture in pictures):
            self.push(active, pictures)
            return
        last = error or _last_error(active)
        await self._runner.finish(active, JobState.FAILED, _final(active, last))

    def _taken(self, active: ActiveJob, member: str) -> tuple[int, ...]:
        """Take out what waits at `member`; what waits elsewhere stays there."""
        mine: list[int] = []
        for due in self.discard(active.job.id):
            if due.model == member:
                mine += due.pictures
            else:
                self._push_unit(due, active.job.way.member(due.model))
        return tuple(mine)

    def _push_to(self, active: ActiveJob, member: Member, pictures: Sequence[int]) -> None:
        if member.kind is MemberKind.LOCAL:
            for picture in pictures:
                work = active.flops_per_picture(member)
                self._push_unit(_unit(active, member, (picture,), work), member)
            return
        begun = [
            line.pictures
            for line in active.tried
            if line.outcome is Outcome.INTERRUPTED and line.member == member.name
        ]
        # An interrupted call is made again as it was, with what came of it before: only so does
        # the other side know it again.
        again = [run for run in begun if set(run) & set(pictures)]
        rest = [p for p in pictures if not any(p in run for run in again)]
        for run in (*again, *runs(rest)):
            self._push_unit(_unit(active, member, run, float(len(run))), member)

    def _push_unit(self, due: Unit, member: Member) -> None:
        if member.kind is MemberKind.LOCAL:
            self._queue.push(due)
        else:
            self._lanes.push(due)

    async def _note_barred(self, active: ActiveJob, pictures: Sequence[int]) -> None:
        """Note the members that the route passes before the next one, or before its end."""
        nexts = {member.name for p in pictures if (member := active.member(p)) is not None}
        members = active.job.way.members
        passed = next((i for i, m in enumerate(members) if m.name in nexts), len(members))
        barred = [member for member in members[:passed] if not member.is_allowed]
        await self._record.skipped(active, barred)


def _unit(active: ActiveJob, member: Member, pictures: Sequence[int], work: float) -> Unit:
    return unit(
        active.job.id,
        pictures[0],
        owner=active.job.owner,
        model=member.name,
        flops=work,
        priority=active.job.priority,
        count=len(pictures),
    )


def _last_error(active: ActiveJob) -> AppError:
    """Return why a job that comes back from a restart has nobody left to draw it."""
    failed = [line for line in active.tried if line.outcome is Outcome.FAILED]
    said = failed[-1].detail if failed else None
    return ProviderError(
        said or "nobody of the chain can draw this",
        may_have_billed=any(line.may_have_billed for line in active.tried),
    )


def _final(active: ActiveJob, error: AppError) -> AppError:
    """Return the error that a job ends with; a call that may have been billed is told of."""
    if not any(line.may_have_billed for line in active.tried):
        return error
    told = copy.copy(error)
    told.detail = (
        f"{error.detail}; a call may have been billed although its picture did not come, so "
        "nobody else who costs money was asked"
    )
    return told
