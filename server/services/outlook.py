"""When waiting work will be done: places in the queue and seconds, told from measured speeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.domain.lending import Loan
from server.domain.planning import GIB
from server.domain.rates import Rates
from server.services.active import ActiveJobs
from server.services.fairness import FairQueue, Unit
from server.services.lanes import Lanes
from server.services.local_lane import LocalLane

_FORECAST_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a job can expect: its place among waiting jobs (1 is next), seconds until it ends.

    `waiting_for` says what must end before it can begin.
    """

    place: int | None
    eta_seconds: float | None
    waiting_for: str | None = None


class Forecaster:
    """Looks ahead over what this machine's workers and the connections have to do.

    Args:
        local: what waits for the workers, and what they hold.
        active: how far each picture is.
        rates: seconds for work, by model.
        lanes: the connections' own queues.
        loans: what trainings hold of the devices' memory.
    """

    def __init__(
        self,
        local: LocalLane,
        active: ActiveJobs,
        rates: Rates,
        lanes: Lanes,
        loans: Callable[[], Sequence[Loan]] = lambda: (),
    ) -> None:
        self._loans = loans
        self._local = local
        self._active = active
        self._rates = rates
        self._lanes = lanes
        self._forecast: tuple[float, dict[str, Outlook]] | None = None

    def changed(self) -> None:
        """Forget what was looked up: work came or went."""
        self._forecast = None

    def of(self, job_id: str) -> Outlook:
        """Return place and time left of an unfinished job, wherever its pictures are."""
        here = self._all_here().get(job_id)
        there = self._lanes.outlook(job_id)
        if there is None:
            return here or Outlook(None, None)
        if here is None:
            return Outlook(*there)
        places = [place for place in (here.place, there[0]) if place is not None]
        ends = (here.eta_seconds, there[1])
        known = None if None in ends else max(end for end in ends if end is not None)
        return Outlook(min(places, default=None), known, here.waiting_for)

    def of_new(self, new: Unit) -> tuple[int, float | None]:
        """Return the place that `new` would take now, and seconds until its first step."""
        queue = FairQueue()
        for waiting in self._local.queue.order():
            queue.push(waiting)
        queue.push(new)
        ahead: list[Unit] = []
        for waiting in queue.order():
            if waiting.job_id == new.job_id:
                break
            ahead.append(waiting)
        seconds = self._seconds([*self._local.flying(), *ahead])
        return 1 + len({u.job_id for u in ahead}), seconds

    def _all_here(self) -> dict[str, Outlook]:
        now = time.monotonic()
        if self._forecast is None or now - self._forecast[0] > _FORECAST_SECONDS:
            self._forecast = (now, self._look_ahead())
        return self._forecast[1]

    def _look_ahead(self) -> dict[str, Outlook]:
        places: dict[str, int] = {}
        ends: dict[str, float | None] = {}
        flying = self._local.flying()
        running = {u.job_id for u in flying}
        total: float | None = 0.0
        for due in (*flying, *self._local.queue.order()):
            seconds = self._seconds([due])
            total = None if total is None or seconds is None else total + seconds
            ends[due.job_id] = total
            if due.job_id not in running:
                places.setdefault(due.job_id, len(places) + 1)
        held = {
            due.job_id
            for due in (*flying, *self._local.queue.order())
            if self._local.is_held(due.model)
        }
        return {
            job_id: self._behind_loans(Outlook(places.get(job_id), end))
            if job_id in held
            else Outlook(places.get(job_id), end)
            for job_id, end in ends.items()
        }

    def _behind_loans(self, outlook: Outlook) -> Outlook:
        """Return what a job can expect whose model does not fit beside what was lent."""
        lent = [loan for loan in self._loans() if loan.is_lent]
        said = ", ".join(
            f"{loan.size_bytes / GIB:.1f} GiB of {loan.device}, which '{loan.name}' holds"
            for loan in lent
        )
        ends = [loan.seconds_left for loan in lent]
        known = [end for end in ends if end is not None]
        own = outlook.eta_seconds
        # The first to end may be enough, the last one surely is.
        eta = None if own is None or not lent or len(known) < len(ends) else own + max(known)
        return Outlook(outlook.place, eta, said or "memory that a training held")

    def _seconds(self, units: Sequence[Unit]) -> float | None:
        """Seconds until all `units` are drawn by the workers there are; None: not measured."""
        total = 0.0
        for due in units:
            active = self._active.get(due.job_id)
            left = 1.0 if active is None else 1 - active.done(due.index)
            seconds = self._rates.seconds(due.model, due.flops * left)
            if seconds is None:
                return None
            total += seconds
        return total / max(1, self._local.ready())
