"""Lanes: each connection has a queue of its own, fair between owners, and a circuit breaker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from server.domain.connections import Connection
from server.domain.errors import (
    AppError,
    ModelUnavailableError,
    ProviderAnswerError,
    ProviderRateLimitedError,
    ProviderUnreachableError,
)
from server.domain.rates import Rates
from server.domain.routes import Outcome
from server.services.breaker import Breaker, BreakerState
from server.services.fairness import FairQueue, Unit
from server.services.remote_models import Remote
from server.services.remotes import Remotes

PATIENCE_SECONDS = 60.0  # how long a job that has nobody else waits for a connection that rests
_PASSING = (ProviderUnreachableError, ProviderRateLimitedError, ProviderAnswerError)


class Lane:
    """What waits for one connection, and what it draws now."""

    def __init__(self, name: str, breaker: Breaker) -> None:
        self.name = name
        self.breaker = breaker
        self.connection: Connection | None = None  # as it was when the breaker began to count
        self.queue = FairQueue()
        self.flying: list[Unit] = []
        self._probe: Unit | None = None
        self.ended: Counter[Outcome] = Counter()  # calls since the start

    def next(self, remote: Remote) -> Unit | None:
        """Take out the call that may begin now, if one may; `release` it when it is over."""
        if (
            remote.provider is None
            or len(self.flying) >= remote.connection.concurrency
            or not self.breaker.lets_pass()
        ):
            return None
        due = self.queue.pop()
        if due is not None:
            self.flying.append(due)
            self._probe = due if self.breaker.state is BreakerState.HALF_OPEN else self._probe
            self.breaker.begin()
        return due

    def release(self, due: Unit) -> None:
        """Note that a call is over, however it ended."""
        self.flying.remove(due)
        if self._probe is due:
            self._probe = None
            self.breaker.gave_up()

    def objection(self) -> AppError | None:
        """Return why no call may begin now, or None when one may."""
        if self.breaker.lets_pass():
            return None
        last = self.breaker.last_error
        said = "no error" if last is None else last.detail
        rests = self.breaker.rests_for
        when = f"rests for another {rests:.0f} s" if rests else "is being tried again"
        kind = ProviderUnreachableError if last is None else type(last)
        return kind(f"'{self.name}' {when} after: {said}")

    @property
    def is_worth_waiting(self) -> bool:
        """Whether a job that has nobody else may hope that the connection is back soon."""
        passes = isinstance(self.breaker.last_error, _PASSING)
        return passes and self.breaker.rests_for <= PATIENCE_SECONDS


class Lanes:
    """All lanes by the names of their connections."""

    def __init__(
        self,
        remotes: Remotes,
        rates: Rates,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        """Set up none; they come with their first call.

        Args:
            remotes: the connections that there are.
            rates: seconds for one picture, by connection; learned from calls.
            clock: seconds that never jump.
            now: the time of day.
        """
        self.remotes = remotes
        self.rates = rates
        self._clock = clock
        self._now = now
        self._lanes: dict[str, Lane] = {}

    def __iter__(self) -> Iterator[Lane]:
        return iter(tuple(self._lanes.values()))

    def __len__(self) -> int:
        return sum(len(lane.queue) for lane in self._lanes.values())

    def lane(self, name: str) -> Lane:
        """Return the lane of a connection."""
        if name not in self._lanes:
            self._lanes[name] = Lane(name, Breaker(self._clock, self._now))
            remote = self.remotes.get(name)
            self._lanes[name].connection = None if remote is None else remote.connection
        return self._lanes[name]

    def look_again(self) -> None:
        """Forget what is held against connections that were changed: they may work now."""
        for lane in self:
            remote = self.remotes.get(lane.name)
            if remote is not None and remote.connection != lane.connection:
                lane.connection = remote.connection
                lane.breaker = Breaker(self._clock, self._now)

    def push(self, due: Unit) -> None:
        """Let a call wait."""
        self.lane(due.model).queue.push(due)

    def discard(self, job_id: str) -> tuple[Unit, ...]:
        """Take out and return what waits of a job."""
        return tuple(due for lane in self for due in lane.queue.discard(job_id))

    def turned_away(self, has_another: Callable[[Unit], bool]) -> list[tuple[Unit, AppError]]:
        """Take out and return the calls that should not wait where they are, and why not.

        Args:
            has_another: whether somebody else may draw a call's pictures.
        """
        return [
            (due, error)
            for lane in self
            if len(lane.queue) and (error := self._objection(lane)) is not None
            for due in self._taken(lane, error, has_another)
        ]

    def _taken(
        self, lane: Lane, error: AppError, has_another: Callable[[Unit], bool]
    ) -> list[Unit]:
        must_go = isinstance(error, ModelUnavailableError) or not lane.is_worth_waiting
        waiting = lane.queue.order()
        going = [due for due in waiting if must_go or has_another(due)]
        for due in going:
            lane.queue.discard(due.job_id)
        gone = {due.job_id for due in going}
        for due in waiting:  # of such a job some may stay
            if due.job_id in gone and due not in going:
                lane.queue.push(due)
        return going

    def seconds(self, name: str, count: int) -> float | None:
        """Return the seconds until `count` more pictures would be here; None: never measured."""
        remote = self.remotes.get(name)
        work = self.rates.seconds(name, count)
        if remote is None or work is None:
            return None
        return self._ahead(name, remote, work / count) + work

    def waiting_seconds(self, name: str) -> float | None:
        """Return the seconds until a call that comes now would begin; None: never measured."""
        remote, one = self.remotes.get(name), self.rates.seconds(name, 1)
        return None if remote is None or one is None else self._ahead(name, remote, one)

    def _ahead(self, name: str, remote: Remote, per_picture: float) -> float:
        lane = self.lane(name)
        calls = [*lane.flying, *lane.queue.order()]
        most = remote.connection.concurrency
        if len(calls) < most:
            return lane.breaker.rests_for
        return lane.breaker.rests_for + per_picture * sum(c.count for c in calls) / most

    def outlook(self, job_id: str) -> tuple[int | None, float | None] | None:
        """Return place and seconds to the end of what a job has here; None: it has nothing."""
        for lane in self:
            flying = [due for due in lane.flying if due.job_id == job_id]
            order = [due.job_id for due in lane.queue.order()]
            if flying or job_id in order:
                return self._place(order, job_id, flying), self._until(lane, job_id)
        return None

    def _place(self, order: Sequence[str], job_id: str, flying: Sequence[Unit]) -> int | None:
        if flying:
            return None
        return 1 + list(dict.fromkeys(order)).index(job_id)

    def _until(self, lane: Lane, job_id: str) -> float | None:
        remote, one = self.remotes.get(lane.name), self.rates.seconds(lane.name, 1)
        if remote is None or one is None:
            return None
        ahead = 0
        calls = [*lane.flying, *lane.queue.order()]
        last = max(i for i, due in enumerate(calls) if due.job_id == job_id)
        most = remote.connection.concurrency
        if last >= most:
            ahead = sum(due.count for due in calls[: last + 1 - most])
        return one * (ahead / most + calls[last].count)

    def _objection(self, lane: Lane) -> AppError | None:
        remote = self.remotes.get(lane.name)
        if remote is None:
            return ModelUnavailableError(f"connection '{lane.name}' was switched off or removed")
        if remote.provider is None:
            return ModelUnavailableError(f"'{lane.name}' cannot be used: {remote.reason}")
        return lane.objection()
