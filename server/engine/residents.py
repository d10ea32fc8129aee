"""The models in memory: on the device, or in main memory beside it, as much as budgets allow."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch

from server.domain.errors import GpuMemoryError
from server.domain.images import ResolvedRequest
from server.domain.models import EngineModel
from server.domain.planning import MEGAPIXEL, Offer
from server.domain.plans import Plan, Profile, Weights
from server.engine import memory
from server.engine.families.base import FamilyPipeline
from server.engine.kept import Kept, Key
from server.engine.loading import is_out_of_memory, load
from server.engine.memory import DeviceMemory
from server.engine.planner import Planner
from server.engine.worth import Worth, least_valuable

log = logging.getLogger(__name__)

T = TypeVar("T")
Load = Callable[[EngineModel, torch.device, Plan], FamilyPipeline]


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
        offer: what the device can do when memory is short; None: what it says.
    """

    def __init__(
        self,
        device: torch.device,
        on_change: Callable[[InMemory], None],
        load: Load = load,
        let_go: Callable[[], object] = lambda: None,
        budgets: Budgets = Budgets(),
        clock: Callable[[], float] = time.monotonic,
        offer: Offer | None = None,
    ) -> None:
        self._offer = offer
        self._device = device
        self._on_change = on_change
        self._load = load
        self._let_go = let_go
        self._clock = clock
        self._kept: dict[Key, Kept] = {}
        self._loading: str | None = None
        self.use_budgets(budgets)

    def use_budgets(self, budgets: Budgets) -> None:
        """Have other budgets from now on."""
        self._budgets = budgets
        self.memory = DeviceMemory(self._device, self.held_bytes, budgets.device_bytes, self._offer)
        self.planner = Planner(self._device, self.memory)

    def get(
        self,
        model: EngineModel,
        *,
        pixels: int = MEGAPIXEL,
        profile: Profile = Profile.EXACT,
        is_short: bool = False,
    ) -> Kept:
        """Return `model` on the device, loading it if it is new or its files have changed.

        Args:
            model: what the registry says of it.
            pixels: of the picture to draw.
            profile: what the picture may give up; see `Planner.plan`.
            is_short: there was no memory for it in full: only fewer bits will do.

        Raises:
            ModelUnavailableError: it cannot be loaded.
            GpuMemoryError: not even with all others evicted.
        """
        stale = [key for key in self._keys_of(model.id) if self._kept[key].model != model]
        if stale:
            self._leave(stale, for_good=True)
        kept = self._suiting(model, profile, is_short=is_short)
        if kept is None or not kept.is_here or kept.may_grow:
            self._loading = model.id
            self.tell()
            try:
                plan = self.planner.plan(model, profile, pixels, is_short=is_short)
                # For a picture of this size others may do than for a usual one.
                kept = kept or self._kept.get((model.id, plan.weights))
                kept = self._brought(model, kept, plan, pixels)
            finally:
                self._loading = None
                self.tell()
        kept.worth.use(self._clock())
        return kept

    def all(self) -> tuple[Kept, ...]:
        """Return every model in memory."""
        return tuple(self._kept.values())

    def have_here(self, kept: Kept) -> None:
        """Bring a model back that had to leave while a picture is drawn with it.

        Raises:
            GpuMemoryError: it does not fit any more.
        """
        if not kept.is_here:
            self._let_go()
            self.free(kept.size_bytes, sparing=[kept.model.id])
            self.with_room(kept, kept.family.weights.bring)
            self.tell()

    def holds(self, model: EngineModel, profile: Profile = Profile.EXACT) -> bool:
        """Return whether `model` is on the device as its files are now."""
        kept = self._suiting(model, profile)
        return kept is not None and kept.is_here

    def could_hold(
        self, model: EngineModel, *, pixels: int = MEGAPIXEL, profile: Profile = Profile.EXACT
    ) -> bool:
        """Return whether `model` would fit if all others left."""
        try:
            return self.holds(model, profile) or bool(self.planner.plan(model, profile, pixels))
        except GpuMemoryError:
            return False

    def with_room(
        self, kept: Kept | None, work: Callable[[], T], asked: ResolvedRequest | None = None
    ) -> T:
        """Do `work` for a model; when memory runs out, find some and do it again.

        Args:
            kept: the model; None: it is being loaded.
            work: may be done several times.
            asked: for which picture.

        Raises:
            GpuMemoryError: there is not enough memory even so.
        """
        ways: tuple[Callable[[Kept | None], bool], ...] = (
            lambda _: True,
            self._others_leave,
            self._encoders_leave,
            self._stream,
        )
        for found_some in ways:
            if not found_some(kept):
                continue
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                # Out of this block first: the traceback holds on to the tensors of the attempt.
        raise GpuMemoryError(self._what_would_help(kept, asked))

    def _what_would_help(self, kept: Kept | None, asked: ResolvedRequest | None) -> str:
        if kept is None or asked is None:
            return f"{self._device} has too little memory for this model"
        pixels = asked.width * asked.height
        advice = self.planner.advice(kept.model, kept.plan, asked.profile, pixels)
        return (
            f"{self._device} has too little memory for this picture with model "
            f"'{kept.model.id}' even with plan '{kept.plan.name}': {advice}"
        )

    def give_up(self, model_id: str) -> None:
        """Take a model out of all memory."""
        keys = self._keys_of(model_id)
        if keys:
            self._leave(keys, for_good=True)
            self.tell()

    def expire(self, in_use: Collection[str] = ()) -> float | None:
        """Give up what nobody used for long; returns the seconds until the next has to go.

        Args:
            in_use: ids of models that are drawn with: their time begins when that ends.
        """
        keep = self._budgets.keep_alive_seconds
        if keep is None or not self._kept:
            return None
        now = self._clock()
        for kept in self._kept.values():
            if kept.model.id in in_use:
                kept.worth.last(now)
        gone = [key for key, kept in self._kept.items() if now - kept.worth.used_at >= keep]
        if gone:
            log.info("not used for %.0f s and given up: %s", keep, ", ".join(k[0] for k in gone))
            self._leave(gone, for_good=True)
            self.tell()
        ends = [kept.worth.used_at + keep - now for kept in self._kept.values()]
        return min(ends, default=None)

    def free(
        self, size_bytes: int, *, sparing: Collection[str] = (), for_others: bool = False
    ) -> bool:
        """Evict, least valuable first, until so much is free; returns whether it is.

        Args:
            size_bytes: on the device.
            sparing: ids of models that are drawn with.
            for_others: other processes: what our allocator keeps for us is not free for them.
        """
        if for_others:
            memory.give_back(self._device, pipelines=False)
        for key in self._by_value():
            if self.memory.free_bytes >= size_bytes:
                break
            if key[0] not in sparing and self._kept[key].is_here:
                self._leave([key])
                self.tell()
        return self.memory.free_bytes >= size_bytes

    def promise(self, number: int, size_bytes: int, missing_bytes: int) -> None:
        """Leave so much to somebody else, who has yet to take what is missing."""
        self.memory.promise(number, size_bytes, missing_bytes)
        self.tell()

    def take_back(self, number: int) -> None:
        """Count what was promised under this number as ours again."""
        self.memory.take_back(number)
        for kept in self._kept.values():
            kept.may_grow = kept.plan.encoders != "resident" or kept.plan.offload != "none"
        self.tell()

    def tell(self) -> None:
        """Say what is in memory."""
        by_use = sorted(self._kept.values(), key=lambda kept: kept.worth.used_at)
        here = tuple(dict.fromkeys(kept.model.id for kept in by_use if kept.is_here))
        beside = dict.fromkeys(kept.model.id for kept in by_use if kept.model.id not in here)
        self._on_change(
            InMemory(
                models=here,
                loading=self._loading,
                beside=tuple(beside),
                free_bytes=self.memory.free_bytes,
                lent_bytes=self.memory.promised_bytes,
            )
        )

    def _suiting(
        self, model: EngineModel, profile: Profile, *, is_short: bool = False
    ) -> Kept | None:
        """Return what may draw pictures of `profile` with a model, on the device first."""
        mine = [kept for kept in self._kept.values() if kept.model == model]
        weights: tuple[Weights, ...] = ("full",)
        # A network that is streamed is slower than one in fewer bits, where those are allowed.
        is_streamed = any(kept.plan.offload == "group" for kept in mine)
        if profile is Profile.FAST or (is_streamed and profile is Profile.MEMORY and not is_short):
            weights = (self._best_weights(model, profile),)
        elif profile is Profile.MEMORY:
            weights = ("int8", "nf4") if is_short else ("full", "int8", "nf4")
        mine = [kept for kept in mine if kept.plan.weights in weights]
        return max(mine, key=lambda kept: kept.is_here, default=None)

    def _best_weights(self, model: EngineModel, profile: Profile) -> Weights:
        try:
            return self.planner.plan(model, profile, MEGAPIXEL).weights
        except GpuMemoryError:
            return "full"

    def _brought(self, model: EngineModel, waiting: Kept | None, plan: Plan, pixels: int) -> Kept:
        """Bring a model to the device, from main memory or from its files."""
        started = self._clock()
        if waiting is not None and waiting.plan.weights != plan.weights:
            plan = waiting.plan  # other weights mean reading files
        plan = plan.model_copy(update={"block_cache": False})  # which is each picture's own
        self._let_go()
        self.free(self.planner.needed_bytes(model, plan, pixels), sparing=[model.id])
        kept = waiting or self._loaded(model, plan)
        kept.follow(plan)
        kept.may_grow = False
        self.with_room(kept, kept.family.weights.bring)
        self._kept[kept.key] = kept
        kept.worth.load_seconds = self._clock() - started
        return kept

    def _loaded(self, model: EngineModel, plan: Plan) -> Kept:
        self._free_main(self.planner.needed_bytes(model, plan, pixels=0))
        family = self.with_room(None, lambda: self._load(model, self._device, plan))
        kept = Kept(model, family, plan, Worth(0, 0, self._clock()))
        size = kept.size_bytes
        if size <= self._budgets.main_bytes and plan.weights != "nf4":  # which is made on the card
            for key in self._by_value():
                if self._copied_bytes() + size <= self._budgets.main_bytes:
                    break
                self._drop_copy(key)
            family.weights.keep_copies()
        return kept

    def _free_main(self, size_bytes: int) -> None:
        """Have main memory for the files of a model: copies of others go, least valuable first."""
        main = torch.device("cpu")
        for key in self._by_value():
            if self._device == main or memory.free_bytes(main) >= size_bytes:
                return
            self._drop_copy(key)
            memory.give_back(main, pipelines=True)

    def _drop_copy(self, key: Key) -> None:
        if not self._kept[key].is_here:
            self._leave([key], for_good=True)
            return
        kept = self._kept[key]
        if kept.plan.encoders == "resident" and kept.plan.offload == "none":
            kept.family.weights.drop_copies()

    def _others_leave(self, kept: Kept | None) -> bool:
        self._leave([key for key, other in self._kept.items() if other is not kept])
        memory.give_back(self._device, pipelines=True)  # also what left before, and is a ring
        self.tell()
        return True

    def _encoders_leave(self, kept: Kept | None) -> bool:
        if kept is None or kept.plan.encoders != "resident" or not self._has_elsewhere():
            return False
        return self._go_on(kept, kept.plan.model_copy(update={"encoders": "evicted"}))

    def _stream(self, kept: Kept | None) -> bool:
        if kept is None or kept.plan.offload != "none" or not self.memory.offer.streams:
            return False
        if kept.plan.weights == "nf4":
            return False
        streamed = {"encoders": "streamed", "offload": "group"}
        return self._go_on(kept, kept.plan.model_copy(update=streamed))

    def _has_elsewhere(self) -> bool:
        """Whether what leaves the device takes other memory than before."""
        return self._device.type != "cpu" or self._budgets.main_bytes > 0

    def _go_on(self, kept: Kept, plan: Plan) -> bool:
        log.warning("memory is short: model %s goes on with plan '%s'", kept.model.id, plan.name)
        self._let_go()
        kept.follow(plan)
        memory.give_back(self._device, pipelines=False)
        return True

    def _leave(self, keys: Iterable[Key], *, for_good: bool = False) -> None:
        """Take models off the device, and out of main memory if they cannot wait there.

        By key: whoever held on to one of them would keep it in memory.
        """
        self._let_go()
        are_gone = False
        for key in keys:
            if for_good or not self._kept[key].can_wait:
                del self._kept[key]
                are_gone = True
            else:
                self._kept[key].leave()
        memory.give_back(self._device, pipelines=are_gone)

    def _keys_of(self, model_id: str) -> list[Key]:
        return [key for key in self._kept if key[0] == model_id]

    def _by_value(self) -> list[Key]:
        return least_valuable({key: one.worth for key, one in self._kept.items()}, self._clock())

    def held_bytes(self) -> int:
        """Return what is taken of the device."""
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        return sum(kept.family.weights.held_bytes for kept in self._kept.values())

    def _copied_bytes(self) -> int:
        return sum(kept.size_bytes for kept in self._kept.values() if kept.can_wait)
