"""The workers as people see them."""

from __future__ import annotations

from collections.abc import Sequence

from server.engine.client import EngineWorker
from server.services.dispatcher import Dispatcher
from server.services.views import WorkerView


class Workers:
    """A look at each worker process."""

    def __init__(self, workers: Sequence[EngineWorker], dispatcher: Dispatcher) -> None:
        self._workers = workers
        self._dispatcher = dispatcher

    def list(self) -> tuple[WorkerView, ...]:
        """Return all workers."""
        return tuple(self._view(worker) for worker in self._workers)

    def is_any_ready(self) -> bool:
        """Return whether at least one worker can draw now."""
        return any(worker.is_ready for worker in self._workers)

    def loaded_models(self) -> frozenset[str]:
        """Return the ids of models that some worker holds in memory."""
        return frozenset(model for worker in self._workers for model in worker.loaded_models)

    def _view(self, worker: EngineWorker) -> WorkerView:
        return WorkerView(
            id=worker.id,
            device=worker.device,
            state=worker.state.value,
            pid=worker.pid,
            epoch=worker.epoch,
            loaded_models=worker.loaded_models,
            in_flight=self._dispatcher.in_flight(worker.id),
            last_error=worker.last_error,
        )
