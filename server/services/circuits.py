"""How each connection does: whether calls pass, the last error, what waits for it."""

from __future__ import annotations

from datetime import datetime

from server.domain.errors import NotFoundError
from server.domain.images import Frozen
from server.domain.jobs import JobError
from server.domain.routes import Outcome
from server.services.breaker import BreakerState
from server.services.lanes import Lane, Lanes
from server.services.remotes import Remotes
from server.services.runner import job_error
from server.store.store import Store


class ConnectionHealthView(Frozen):
    """What the server knows of a connection since it started.

    `state`: closed lets calls pass, open none, half-open one as a probe. `failures` in a row;
    `rests_for_seconds` until a call may pass; `seconds_per_picture` as measured, null before the
    first. Pictures wait, calls are under way.
    """

    name: str
    is_active: bool
    state: BreakerState
    failures: int
    rests_for_seconds: float
    last_error: JobError | None
    last_error_at: datetime | None
    last_success_at: datetime | None
    seconds_per_picture: float | None
    waiting_pictures: int
    calls_under_way: int
    calls_ended: dict[Outcome, int]


class Circuits:
    """A look at every lane."""

    def __init__(self, store: Store, lanes: Lanes, remotes: Remotes) -> None:
        self._store = store
        self._lanes = lanes
        self._remotes = remotes

    def all(self) -> tuple[ConnectionHealthView, ...]:
        """Return the health of every active connection."""
        return tuple(self._view(remote.name) for remote in self._remotes.all())

    async def get(self, id_or_name: str) -> ConnectionHealthView:
        """Return the health of one connection.

        Raises:
            NotFoundError: there is none.
        """
        for row in await self._store.connections.list():
            if id_or_name in (row.id, row.name):
                return self._view(row.name)
        raise NotFoundError(f"no connection '{id_or_name}'")

    def _view(self, name: str) -> ConnectionHealthView:
        lane = self._lanes.lane(name)
        breaker = lane.breaker
        error = breaker.last_error
        return ConnectionHealthView(
            name=name,
            is_active=self._remotes.get(name) is not None,
            state=breaker.state,
            failures=breaker.failures,
            rests_for_seconds=round(breaker.rests_for, 1),
            last_error=None if error is None else job_error(error),
            last_error_at=breaker.last_error_at,
            last_success_at=breaker.last_success_at,
            seconds_per_picture=self._lanes.rates.seconds(name, 1),
            waiting_pictures=sum(due.count for due in lane.queue.order()),
            calls_under_way=len(lane.flying),
            calls_ended=_ended(lane),
        )


def _ended(lane: Lane) -> dict[Outcome, int]:
    """Return zeros too, so that graphs have no gaps."""
    return {one: lane.ended[one] for one in (Outcome.DREW, Outcome.FAILED, Outcome.CANCELLED)}
