"""The workers as people see them."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.errors import NotFoundError
from server.engine.client import EngineWorker
from server.engine.lending import Lender
from server.services.dispatcher import Dispatcher
from server.services.views import WorkerView


class Workers:
    """A look at each worker process."""

    def __init__(
        self, workers: Sequence[EngineWorker], dispatcher: Dispatcher, lender: Lender
    ) -> None:
        self._workers = workers
        self._lender = lender
        self._dispatcher = dispatcher

    def list(self) -> tuple[WorkerView, ...]:
        """Return all workers."""
        return tuple(self._view(worker) for worker in self._workers)

    def is_any_ready(self) -> bool:
        """Return whether at least one worker can draw now."""
        return any(worker.is_ready for worker in self._workers)

    def want_back(self, worker_id: str) -> WorkerView:
        """Ask trainings to give a worker's memory back at their next checkpoint.

        Raises:
            NotFoundError: no such worker.
        """
        worker = next((one for one in self._workers if one.id == worker_id), None)
        if worker is None:
            have = ", ".join(one.id for one in self._workers) or "none"
            raise NotFoundError(f"no worker '{worker_id}'; there are {have}")
        self._lender.want_back(worker.device)
        return self._view(worker)

    def _view(self, worker: EngineWorker) -> WorkerView:
        memory = worker.memory
        return WorkerView(
            id=worker.id,
            device=worker.device,
            state=worker.state.value,
            pid=worker.pid,
            epoch=worker.epoch,
            loaded_models=worker.loaded_models,
            loading_model=worker.loading_model,
            waiting_models=() if memory is None else memory.beside,
            held_models=() if memory is None else memory.held,
            free_bytes=None if memory is None else memory.free_bytes,
            loans=tuple(loan for loan in self._lender.loans if loan.device == worker.device),
            lent_bytes=0 if memory is None else memory.lent_bytes,
            in_flight=self._dispatcher.in_flight(worker.id),
            last_error=worker.last_error,
        )
