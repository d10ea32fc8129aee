"""The models in memory: on the device, or in main memory beside it, as much as budgets allow."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

import torch

from server.domain.errors import GpuMemoryError
from server.domain.models import EngineModel
from server.domain.planning import GIB, MEGAPIXEL, Parts, choose, needed_bytes, smallest
from server.domain.plans import RESIDENT, Plan
from server.engine import memory
from server.engine.families.base import FamilyPipeline
from server.engine.loading import dtype_of, is_out_of_memory, load
from server.engine.memory import DeviceMemory
from server.engine.worth import Worth, least_valuable

log = logging.getLogger(__name__)

T = TypeVar("T")
Load = Callable[[EngineModel, torch.device], FamilyPipeline]


@dataclass(frozen=True, slots=True)
class Budgets:
    """How much memory the worker may take, and for how long it keeps what nobody uses.

    Attributes:
        device_bytes: of the device; None: all there is.
        main_bytes: of main memory, for copies of models that may leave the device; 0: none.
        keep_alive_seconds: after its last picture a model is given up; None: never.
    """

    device_bytes: int | None = None
    main_bytes: int = 0
    keep_alive_seconds: float | None = None


def main_memory_for(device: torch.device) -> int:
    """Return how much main memory copies of models get where nobody says it: half of the free.

    None on a CPU, whose memory they are in already.
    """
    return 0 if device.type == "cpu" else memory.free_bytes(torch.device("cpu")) // 2


@dataclass(frozen=True, slots=True)
class InMemory:
    """The models on the device, least recently used first, those beside it, and how much is free.

    `loading` is being brought to the device.
    """

    models: tuple[str, ...]
    loading: str | None
    beside: tuple[str, ...]
    free_bytes: int
    lent_bytes: int


@dataclass(slots=True)
class _Kept:
    """A model in memory, on the device or waiting beside it."""

    model: EngineModel
    family: FamilyPipeline
    parts: Parts | None
    plan: Plan
    worth: Worth

    @property
    def is_here(self) -> bool:
        return self.family.weights.is_here


class Residents:
    """Keeps models as long as there is room: the least valuable leaves first.

    One that leaves the device waits in main memory if a copy fits there, from where it is back
    many times sooner than from its files. When a device is full in spite of all, memory is found
    step by step, without changing any picture: other models leave, then the model's own text
    encoders, then its network is streamed, where the device can do that.

    Args:
        device: where they draw.
        on_change: called with what is in memory now.
        load: makes a model of what the registry says of it, in main memory.
        let_go: called before memory is freed or a model is loaded: waits for what other threads
            do with models.
        budgets: how much memory there is for all that.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        device: torch.device,
        on_change: Callable[[InMemory], None],
        load: Load = load,
        let_go: Callable[[], object] = lambda: None,
        budgets: Budgets = Budgets(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._device = device
        self._on_change = on_change
        self._load = load
        self._let_go = let_go
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self.use_budgets(budgets)

    def use_budgets(self, budgets: Budgets) -> None:
        """Have other budgets from now on."""
        self._budgets = budgets
        self.memory = DeviceMemory(self._device, self._held_bytes, budgets.device_bytes)

    def get(self, model: EngineModel, *, pixels: int = MEGAPIXEL) -> FamilyPipeline:
        """Return `model` on the device, loading it if it is new or its files have changed.

        Args:
            model: what the registry says of it.
            pixels: of the picture to draw.

        Raises:
            ModelUnavailableError: it cannot be loaded.
            GpuMemoryError: not even with all others evicted.
        """
        if model.id in self._kept and self._kept[model.id].model != model:
            self._leave([model.id], for_good=True)
        kept = self._kept.get(model.id)
        if kept is None or not kept.is_here:
            self._changed(loading=model.id)
            try:
                kept = self._load_new(model, pixels) if kept is None else self._bring(kept, pixels)
            finally:
                self._changed()
        kept.worth.use(self._clock())
        return kept.family

    def holds(self, model: EngineModel) -> bool:
        """Return whether `model` is on the device as its files are now."""
        kept = self._kept.get(model.id)
        return kept is not None and kept.model == model and kept.is_here

    def could_hold(self, model: EngineModel, *, pixels: int = MEGAPIXEL) -> bool:
        """Return whether `model` would fit if all others left."""
        if self.holds(model):
            return True
        try:
            self._plan(model, memory.parts_of(model, dtype_of(self._device)), pixels)
        except GpuMemoryError:
            return False
        return True

    def plan_of(self, model_id: str) -> Plan:
        """Return how a model in memory is held."""
        return self._kept[model_id].plan

    def with_room(self, model_id: str, work: Callable[[], T]) -> T:
        """Do `work` for a model; when memory runs out, find some and do it again.

        Raises:
            GpuMemoryError: there is not enough memory even so.
        """
        ways: tuple[Callable[[str], bool], ...] = (
            lambda _: True,
            self._others_leave,
            self._encoders_leave,
            self._stream,
        )
        for found_some in ways:
            if not found_some(model_id):
                continue
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                # Out of this block first: the traceback holds on to the tensors of the attempt.
        raise GpuMemoryError(
            f"{self._device} has too little memory for this picture with model '{model_id}'; "
            "a smaller picture needs less"
        )

    def give_up(self, model_id: str) -> None:
        """Take a model out of all memory."""
        if model_id in self._kept:
            self._leave([model_id], for_good=True)
            self._changed()

    def expire(self) -> float | None:
        """Give up what nobody used for long; returns the seconds until the next has to go."""
        keep = self._budgets.keep_alive_seconds
        if keep is None or not self._kept:
            return None
        now = self._clock()
        gone = [name for name, kept in self._kept.items() if now - kept.worth.used_at >= keep]
        for model_id in gone:
            log.info("model %s was not used for %.0f s and is given up", model_id, keep)
            self.give_up(model_id)
        ends = [kept.worth.used_at + keep - now for kept in self._kept.values()]
        return min(ends, default=None)

    def free(self, size_bytes: int, *, sparing: Collection[str] = ()) -> bool:
        """Evict, least valuable first, until so much is free; returns whether it is.

        Args:
            size_bytes: on the device.
            sparing: models that are drawn with.
        """
        for model_id in self._by_value(sparing):
            if self.memory.free_bytes >= size_bytes:
                break
            self._leave([model_id])
        self._changed()
        return self.memory.free_bytes >= size_bytes

    def promise(self, number: int, size_bytes: int) -> None:
        """Leave so much of what is free to somebody else."""
        self.memory.promise(number, size_bytes)
        self._changed()

    def take_back(self, number: int) -> None:
        """Count what was promised under this number as ours again."""
        self.memory.take_back(number)
        self._changed()

    def tell(self) -> None:
        """Say again what is in memory."""
        self._changed()

    def _load_new(self, model: EngineModel, pixels: int) -> _Kept:
        parts = memory.parts_of(model, dtype_of(self._device))
        plan = self._plan(model, parts, pixels)
        self._make_room(model, parts, plan, pixels)
        started = self._clock()
        family = self.with_room(model.id, lambda: self._load(model, self._device))
        weights = family.weights
        weights.encoders.stays = plan.encoders == "resident"
        self._keep_copy(family, is_needed=plan.encoders != "resident")
        self.with_room(model.id, weights.bring)
        now = self._clock()
        kept = _Kept(model, family, parts, plan, Worth(now - started, 0, now))
        self._kept[model.id] = kept
        return kept

    def _bring(self, kept: _Kept, pixels: int) -> _Kept:
        """Put a model that waits in main memory on the device, with the plan that suits it now."""
        started = self._clock()
        kept.plan = self._plan(kept.model, kept.parts, pixels)
        kept.family.weights.encoders.stays = kept.plan.encoders == "resident"
        self._make_room(kept.model, kept.parts, kept.plan, pixels)
        self.with_room(kept.model.id, kept.family.weights.bring)
        kept.worth.load_seconds = self._clock() - started
        return kept

    def _plan(self, model: EngineModel, parts: Parts | None, pixels: int) -> Plan:
        """Return the plan for a model if all others leave.

        Raises:
            GpuMemoryError: not even its weights fit.
        """
        if parts is None:
            return RESIDENT  # loading will say what is wrong
        offer, capacity = self.memory.offer, self.memory.capacity_bytes
        plan = choose(parts, model.family, capacity, offer, pixels=pixels)
        if plan is not None:
            return plan
        # What a picture takes beside the weights is reckoned: it is tried.
        last = smallest(parts, model.family, offer, pixels=pixels)
        if needed_bytes(last, parts, model.family, pixels=0) <= capacity:
            return last
        need = needed_bytes(last, parts, model.family, pixels=pixels) + offer.context_bytes
        raise GpuMemoryError(
            f"model '{model.id}' needs about {need / GIB:.1f} GiB for this picture even with plan "
            f"'{last.name}'; {self._device} has {capacity / GIB:.1f} GiB"
            + (", since a training holds a part" if self.memory.promised_bytes else "")
        )

    def _make_room(self, model: EngineModel, parts: Parts | None, plan: Plan, pixels: int) -> None:
        """Evict until the plan should fit.

        Most of all for the CPU, where too much memory ends the process instead of raising.
        """
        self._let_go()
        if parts is None:
            return
        need = needed_bytes(plan, parts, model.family, pixels=pixels)
        self.free(need, sparing=[model.id])
        # Files are read into main memory first.
        main = torch.device("cpu")
        copied = [name for name in self._by_value() if self._kept[name].family.weights.has_copy]
        while copied and memory.free_bytes(main) < parts.total:
            self._drop_copy(self._kept[copied.pop(0)])
            memory.give_back(main, pipelines=True)

    def _keep_copy(self, family: FamilyPipeline, *, is_needed: bool) -> None:
        """Have the model wait in main memory later, if there is room or a plan rests on it."""
        size = family.weights.size_bytes
        if size > self._budgets.main_bytes:
            if is_needed:
                family.weights.encoders.keep_copy()
            return
        for model_id in self._by_value():
            if self._copied_bytes() + size <= self._budgets.main_bytes:
                break
            self._drop_copy(self._kept[model_id])
        family.weights.keep_copies()

    def _drop_copy(self, kept: _Kept) -> None:
        if not kept.is_here:
            self._leave([kept.model.id], for_good=True)
        elif kept.plan.encoders == "resident":
            kept.family.weights.drop_copies()

    def _others_leave(self, model_id: str) -> bool:
        self._leave([other for other in self._kept if other != model_id])
        self._changed()
        return True

    def _encoders_leave(self, model_id: str) -> bool:
        kept = self._kept.get(model_id)
        if kept is None or not kept.family.weights.encoders.leave():
            return False
        kept.family.weights.encoders.stays = False
        self._adopt(kept, kept.plan.model_copy(update={"encoders": "evicted"}))
        return True

    def _stream(self, model_id: str) -> bool:
        del model_id
        return False

    def _adopt(self, kept: _Kept, plan: Plan) -> None:
        log.warning("memory is short: model %s goes on with plan '%s'", kept.model.id, plan.name)
        kept.plan = plan
        memory.give_back(self._device, pipelines=False)

    def _leave(self, model_ids: list[str], *, for_good: bool = False) -> None:
        """Take models off the device, and out of main memory if they cannot wait there."""
        self._let_go()
        are_gone = False
        for model_id in model_ids:
            kept = self._kept[model_id]
            if for_good or not kept.family.weights.has_copy:
                del self._kept[model_id], kept
                are_gone = True
            else:
                kept.family.weights.leave()
        memory.give_back(self._device, pipelines=are_gone)

    def _by_value(self, sparing: Collection[str] = ()) -> list[str]:
        others = {name: kept.worth for name, kept in self._kept.items() if name not in sparing}
        return least_valuable(others, self._clock())

    def _held_bytes(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        return sum(kept.family.weights.held_bytes for kept in self._kept.values())

    def _copied_bytes(self) -> int:
        weights = (kept.family.weights for kept in self._kept.values())
        return sum(one.size_bytes for one in weights if one.has_copy)

    def _changed(self, loading: str | None = None) -> None:
        by_use = sorted(self._kept, key=lambda name: self._kept[name].worth.used_at)
        here = tuple(name for name in by_use if self._kept[name].is_here)
        self._on_change(
            InMemory(
                models=here,
                loading=loading,
                beside=tuple(name for name in by_use if name not in here),
                free_bytes=self.memory.free_bytes,
                lent_bytes=self.memory.promised_bytes,
            )
        )
