"""The lane of this machine's workers: one queue, fair in FLOPs, and what each worker holds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Protocol

from server.services.fairness import FairQueue, Unit
from server.services.runner import Drawer
from server.services.window import has_room


class Worker(Drawer, Protocol):
    """What is asked of a worker."""

    @property
    def is_ready(self) -> bool: ...  # noqa: D102

    @property
    def loaded_models(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def held_models(self) -> tuple[str, ...]: ...  # noqa: D102


class LocalLane:
    """Decides which unit a worker gets next.

    Args:
        workers: this machine's.
        is_suspect: whether a worker ended while it drew this unit's job.
    """

    def __init__(self, workers: Sequence[Worker], is_suspect: Callable[[Unit], bool]) -> None:
        self._workers = workers
        self._is_suspect = is_suspect
        self._held: dict[str, list[Unit]] = {worker.id: [] for worker in workers}
        self.queue = FairQueue()

    def next(self) -> tuple[Unit, Worker] | None:
        """Take out a unit and say who draws it, if somebody can; `release` it when it is over."""
        emptying: set[str] = set()
        due = self.queue.pop(functools.partial(self._fits, emptying))
        if due is None:
            return None
        worker = self._best(self._free_for(due, emptying), due)
        self._held[worker.id].append(due)
        return due, worker

    def release(self, due: Unit, worker: Worker) -> None:
        """Note that a worker no longer holds `due`."""
        self._held[worker.id].remove(due)

    def held_by(self, worker_id: str) -> int:
        """Return how many units a worker holds."""
        return len(self._held[worker_id])

    def flying(self) -> list[Unit]:
        """Return all that the workers hold."""
        return [held for units in self._held.values() for held in units]

    def ready(self) -> int:
        """Return how many workers can draw."""
        return sum(worker.is_ready for worker in self._workers)

    def is_held(self, model: str) -> bool:
        """Return whether a model's pictures wait everywhere for memory that was lent."""
        ready = [worker for worker in self._workers if worker.is_ready]
        return bool(ready) and all(model in worker.held_models for worker in ready)

    def _fits(self, emptying: set[str], due: Unit) -> bool:
        """Return whether a worker may take `due` now.

        The first suspect that none may take has the least busy one to itself as soon as that is
        empty: it goes to `emptying`, so that whoever comes later in the order does not pass there.
        """
        if self._free_for(due, emptying):
            return True
        ready = [worker for worker in self._workers if worker.is_ready]
        if ready and not emptying and self._is_suspect(due):
            emptying.add(min(ready, key=self._work_of).id)
        return False

    def _free_for(self, due: Unit, emptying: set[str]) -> list[Worker]:
        return [
            worker
            for worker in self._workers
            if worker.is_ready
            and worker.id not in emptying
            and due.model not in worker.held_models  # it has some of them that wait for memory
            and has_room(self._held[worker.id], due, self._is_suspect)
        ]

    def _best(self, free: Sequence[Worker], due: Unit) -> Worker:
        return min(free, key=lambda w: (due.model not in w.loaded_models, self._work_of(w)))

    def _work_of(self, worker: Worker) -> float:
        return sum(held.flops for held in self._held[worker.id])
