"""Which models are in memory: what is there, loading ahead of the first picture, giving up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from server.domain.errors import ModelUnavailableError
from server.engine.client import EngineWorker
from server.registry.registry import Registry

log = structlog.get_logger(__name__)


class Residency:
    """The memory of all workers. Changing what is in it is the admin's."""

    def __init__(self, workers: Sequence[EngineWorker], registry: Registry) -> None:
        self._workers = workers
        self._registry = registry

    def loaded_models(self) -> frozenset[str]:
        """Return the ids of models that some worker holds on its device."""
        return frozenset(model for worker in self._workers for model in worker.loaded_models)

    async def load(self, model_id: str) -> str:
        """Have a model on every device, as far as each has room for it; returns its id.

        Raises:
            ModelNotFoundError, ModelUnavailableError: see the registry.
            GpuMemoryError: it fits into no device; the first one's words.
        """
        model = self._registry.info(model_id).id
        self._registry.engine_model(model)  # raises what is missing, before any cost
        if not self._workers:
            raise ModelUnavailableError(f"no device here could hold model '{model}'")
        ends = await asyncio.gather(
            *(worker.preload(model) for worker in self._workers), return_exceptions=True
        )
        failed = [end for end in ends if isinstance(end, BaseException)]
        if len(failed) == len(ends):
            raise failed[0]
        log.info("model.loaded", model=model, devices=len(ends) - len(failed))
        return model

    async def unload(self, model_id: str) -> str:
        """Give a model up everywhere, once nobody draws with it; returns its id.

        Raises:
            ModelNotFoundError: no such model.
        """
        model = self._registry.info(model_id).id
        ends = await asyncio.gather(
            *(worker.unload(model) for worker in self._workers), return_exceptions=True
        )
        log.info("model.unloaded", model=model)
        del ends  # a worker that has died holds nothing
        return model
