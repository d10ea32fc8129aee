"""The models in a device's memory: loaded when first needed, evicted when room is needed."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import torch

from server.domain.errors import GpuMemoryError
from server.domain.models import EngineModel
from server.engine.families.base import FamilyPipeline
from server.engine.loading import is_out_of_memory, load

T = TypeVar("T")


class Residents:
    """Keeps models, least recently used first, and makes room when a device is full.

    Args:
        device: where they are.
        on_change: called with the ids after every load or eviction.
    """

    def __init__(self, device: torch.device, on_change: Callable[[tuple[str, ...]], None]) -> None:
        self._device = device
        self._on_change = on_change
        self._kept: OrderedDict[str, tuple[EngineModel, FamilyPipeline]] = OrderedDict()

    def get(self, model: EngineModel) -> FamilyPipeline:
        """Return `model`, loading it if it is new or its files have changed.

        Raises:
            ModelUnavailableError: it cannot be loaded.
            GpuMemoryError: not even with all others evicted.
        """
        known = self._kept.get(model.id)
        if known is not None and known[0] == model:
            self._kept.move_to_end(model.id)
            return known[1]
        del known
        if self._kept.pop(model.id, None) is not None:
            self._freed()
        pipeline = self.with_room(model.id, lambda: load(model, self._device))
        self._kept[model.id] = (model, pipeline)
        self._changed()
        return pipeline

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
        self._evict_others(model_id)
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise GpuMemoryError(
                f"{self._device} has too little memory for this picture with model '{model_id}'; "
                "a smaller picture needs less"
            ) from None

    def _evict_others(self, model_id: str) -> None:
        for other in [kept for kept in self._kept if kept != model_id]:
            del self._kept[other]
        self._freed()
        self._changed()

    def _freed(self) -> None:
        gc.collect()  # pipelines hold themselves in cycles
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _changed(self) -> None:
        self._on_change(tuple(self._kept))
