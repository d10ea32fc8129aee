"""What the worker does beside drawing: loading ahead, giving models up, lending the device."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

from server.domain.errors import AppError, GpuMemoryError
from server.domain.planning import GIB
from server.engine.admission import MODEL_PATIENCE_SECONDS
from server.engine.messages import Chore, Done, Lend, Preload, TakeBack, Unload
from server.engine.outbox import Outbox
from server.engine.residents import Residents

log = logging.getLogger(__name__)


class Chores:
    """Each is done when it disturbs nobody, or when it has waited long enough.

    Args:
        residents: the models and the device's memory.
        outbox: where answers go.
        clock: seconds that only grow.
    """

    def __init__(
        self, residents: Residents, outbox: Outbox, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._residents = residents
        self._outbox = outbox
        self._clock = clock
        self._waiting: dict[int, tuple[Chore, float]] = {}
        self._is_drawing = False  # when chores were looked at last

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, chore: Chore) -> None:
        """Take in what was asked."""
        if isinstance(chore, TakeBack):
            self._waiting.pop(chore.chore, None)  # it may not even have been lent
            self._residents.take_back(chore.chore)
        else:
            self._waiting[chore.chore] = (chore, self._clock())

    @property
    def wants_quiet(self) -> bool:
        """Whether no new picture should begin, since a chore has waited long enough for all."""
        now = self._clock()
        return any(
            self._is_drawing and self._waits_for_pictures(chore)
            if isinstance(chore, Lend)
            else now - since >= MODEL_PATIENCE_SECONDS
            for chore, since in self._waiting.values()
        )

    def do(self, in_use: Collection[str]) -> None:
        """Do what may be done now.

        Args:
            in_use: ids of the models that pictures are drawn with.
        """
        self._is_drawing = bool(in_use)
        for number, (chore, _) in list(self._waiting.items()):
            try:
                is_done = self._done(chore, in_use)
            except AppError as error:
                self._answer(number, error)
            else:
                if is_done:
                    self._answer(number, None)

    def _done(self, chore: Chore, in_use: Collection[str]) -> bool:
        match chore:
            case Preload():
                if in_use and not self._residents.holds(chore.model):
                    return False  # loading would stop everybody
                self._residents.get(chore.model)
            case Unload():
                if chore.model in in_use:
                    return False
                self._residents.give_up(chore.model)
            case Lend():
                return self._lent(chore, in_use)
        return True

    def _lent(self, chore: Lend, in_use: Collection[str]) -> bool:
        memory = self._residents.memory
        missing, capacity = _missing(chore), memory.capacity_bytes
        if missing > capacity + memory.promised_bytes:
            raise _too_little(chore, capacity + memory.promised_bytes)
        if missing > capacity:
            return False  # no model's leaving would do: another borrower has it
        if self._residents.free(missing, sparing=in_use, for_others=True):
            self._residents.promise(chore.chore, chore.size_bytes, missing)
            return True
        if in_use or memory.promised_bytes:
            return False
        raise _too_little(chore, memory.free_bytes)  # libraries keep the rest

    def _waits_for_pictures(self, chore: Lend) -> bool:
        """Whether models would do; what only another borrower could give back stops nobody."""
        return _missing(chore) <= self._residents.memory.capacity_bytes

    def _answer(self, number: int, error: AppError | None) -> None:
        del self._waiting[number]
        code, detail = (None, None) if error is None else (error.code, error.detail)
        self._outbox.put(Done(chore=number, code=code, detail=detail))


def _too_little(chore: Lend, capacity_bytes: int) -> GpuMemoryError:
    return GpuMemoryError(
        f"{chore.size_bytes / GIB:.1f} GiB cannot be lent: there are "
        f"{capacity_bytes / GIB:.1f} GiB even without any model; ask for less"
    )


def _missing(chore: Lend) -> int:
    """Return how much has yet to become free."""
    return max(0, chore.size_bytes - chore.taken_bytes)
