"""The models in a device's memory: loaded when first needed, evicted when room is needed."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import torch

from server.domain.errors import GpuMemoryError
from server.domain.models import EngineModel
from server.engine import memory
from server.engine.families.base import FamilyPipeline
from server.engine.loading import dtype_of, is_out_of_memory, load

T = TypeVar("T")
Load = Callable[[EngineModel, torch.device], FamilyPipeline]


class Residents:
    """Keeps models, least recently used first, and makes room when a device is full.

    Args:
        device: where they are.
        on_change: called with the ids in memory and the one being loaded, if any.
        load: makes a model of what the registry says of it.
        let_go: called before memory is freed or a model is loaded: waits for what other threads
            do with models.
    """

    def __init__(
        self,
        device: torch.device,
        on_change: Callable[[tuple[str, ...], str | None], None],
        load: Load = load,
        let_go: Callable[[], object] = lambda: None,
    ) -> None:
        self._device = device
        self._on_change = on_change
        self._load = load
        self._let_go = let_go
        self._kept: OrderedDict[str, tuple[EngineModel, FamilyPipeline]] = OrderedDict()

    def get(self, model: EngineModel) -> FamilyPipeline:
        """Return `model`, loading it if it is new or its files have changed.

        Raises:
            ModelUnavailableError: it cannot be loaded.
            GpuMemoryError: not even with all others evicted.
        """
        if self.holds(model):
            self._kept.move_to_end(model.id)
            return self._kept[model.id][1]
        self._evict([model.id] if model.id in self._kept else [])
        self._make_room(model)
        self._changed(loading=model.id)
        try:
            pipeline = self.with_room(model.id, lambda: self._load(model, self._device))
            self._kept[model.id] = (model, pipeline)
        finally:
            self._changed()
        return pipeline

    def holds(self, model: EngineModel) -> bool:
        """Return whether `model` is in memory as its files are now."""
        return model.id in self._kept and self._kept[model.id][0] == model

    def with_room(self, model_id: str, work: Callable[[], T]) -> T:
        """Do `work` for a model; when memory runs out, evict all others and do it once more.

        Raises:
            GpuMemoryError: there is not enough memory even so.
        """
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # Out of this block first: the traceback holds on to the tensors of the attempt.
        self._evict([other for other in self._kept if other != model_id])
        self._changed()
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise GpuMemoryError(
                f"{self._device} has too little memory for this picture with model '{model_id}'; "
                "a smaller picture needs less"
            ) from None

    def _make_room(self, model: EngineModel) -> None:
        """Evict, least recently used first, until the weights should fit.

        Most of all for the CPU, where too much memory ends the process instead of raising.
        """
        needed = memory.weight_bytes(model, dtype_of(self._device))
        while self._kept and memory.free_bytes(self._device) < needed * memory.HEADROOM:
            self._evict([next(iter(self._kept))])

    def _evict(self, model_ids: list[str]) -> None:
        self._let_go()
        for model_id in model_ids:
            del self._kept[model_id]
        gc.collect()  # pipelines hold themselves in cycles
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _changed(self, loading: str | None = None) -> None:
        self._on_change(tuple(self._kept), loading)
