"""The weights of a part of a pipeline: on the device, or waiting in main memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from diffusers import DiffusionPipeline
from torch import nn

from server.domain.plans import Plan
from server.engine.plans.streaming import settle_down, stream

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where a module keeps one tensor."""

    module: nn.Module
    name: str

    def get(self) -> torch.Tensor:
        found = getattr(self.module, self.name)
        if not isinstance(found, torch.Tensor):
            raise TypeError(f"{self.name} holds no tensor")
        return found


class Weights:
    """The weights of some modules, loaded into main memory and brought to a device when needed.

    With a copy that is kept, leaving the device costs nothing: weights never change while pictures
    are drawn, so the copy is put in their place. Without one they can only be given up with their
    model.

    Args:
        modules: in main memory; tensors that they share stay shared.
        device: where they work.
        by: in which parts they are streamed.
    """

    def __init__(
        self, modules: Sequence[nn.Module], device: torch.device, by: Literal["block", "leaf"]
    ) -> None:
        self._device = device
        self._modules = modules
        self._by = by
        self._slots = [slot for module in modules for slot in _slots(module)]
        self._copies: list[torch.Tensor] | None = None
        self.is_here = all(slot.get().device == device for slot in self._slots)
        self.is_streamed = False
        self.stays = True  # after `here`

    @property
    def size_bytes(self) -> int:
        """What they take."""
        found = {id(slot.get()): slot.get() for slot in self._slots}
        return sum(map(_bytes_of, found.values()))

    @property
    def has_copy(self) -> bool:
        """Whether they can leave the device and come again."""
        return self._copies is not None

    def keep_copy(self) -> None:
        """Let them wait in main memory, pinned where a device copies from it faster.

        One by one, so that main memory never holds more than one of them twice.
        """
        self.is_here = False
        copied = _pinned if self._device.type == "cuda" else torch.Tensor.cpu
        for slots in self._shared():
            copy = _made(copied, slots[0].get())
            for slot in slots:
                setattr(slot.module, slot.name, copy)
        self._copies = [slot.get() for slot in self._slots]

    def drop_copy(self) -> None:
        """Give the main memory back. Only while they are on the device."""
        self._copies = None

    def bring(self) -> None:
        """Put them on the device.

        Raises:
            torch.OutOfMemoryError: it is too full; they are where they were.
        """
        if self.is_here or self.is_streamed:
            return
        device, copy = self._device, self.has_copy
        moved: dict[int, torch.Tensor] = {}
        for slot, *_ in self._shared():
            tensor = slot.get()
            # 4-bit weights are here already, and moving them again would lose what they mean.
            stays = tensor.device == device and not copy
            moved[id(tensor)] = (
                tensor if stays else _made(lambda one: _moved(one, device, copy=copy), tensor)
            )
        self._put([moved[id(slot.get())] for slot in self._slots])
        self.is_here = True

    def leave(self) -> bool:
        """Take them off the device, if there is a copy; returns whether that gave memory back."""
        if not self.is_here or self._copies is None:
            return False
        self._put(self._copies)
        self.is_here = False
        return True

    def stream(self) -> None:
        """From now on, let every part wait in main memory and come only while it computes."""
        if self.is_streamed:
            return
        if not self.has_copy:
            self.keep_copy()
        self.leave()
        for module in self._modules:
            stream(module, self._device, by=self._by)
        self.is_streamed = True

    def end_streaming(self) -> None:
        """Let them be brought to the device as a whole again."""
        if self.is_streamed:
            for module in self._modules:
                settle_down(module)
            self._copies = [slot.get() for slot in self._slots]
            self.is_streamed = False

    @contextmanager
    def here(self) -> Iterator[None]:
        """Have them on the device inside, and afterwards only if they are to stay."""
        self.bring()
        try:
            yield
        finally:
            if not self.stays:
                self.leave()

    def _put(self, tensors: Sequence[torch.Tensor]) -> None:
        for slot, tensor in zip(self._slots, tensors, strict=True):
            setattr(slot.module, slot.name, tensor)

    def _shared(self) -> list[list[_Slot]]:
        """Return the slots of each tensor; some tensors have several."""
        found: dict[int, list[_Slot]] = {}
        for slot in self._slots:
            found.setdefault(id(slot.get()), []).append(slot)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class PipelineWeights:
    """A pipeline's weights, by what they are for."""

    device: torch.device
    network: Weights
    encoders: Weights
    vae: Weights

    @classmethod
    def of(
        cls, pipeline: DiffusionPipeline, network: str, device: torch.device | None = None
    ) -> PipelineWeights:
        """Return those of `pipeline`.

        Args:
            pipeline: in main memory, or on its device.
            network: the component that draws.
            device: where it shall work; None: where it is.
        """
        on = device or getattr(pipeline, network).device
        names = ("text_encoder", "text_encoder_2")
        encoders = [getattr(pipeline, name) for name in names]
        return cls(
            device=on,
            network=Weights([getattr(pipeline, network)], on, "block"),
            encoders=Weights([one for one in encoders if one is not None], on, "leaf"),
            vae=Weights([pipeline.vae], on, "block"),
        )

    @property
    def parts(self) -> tuple[Weights, Weights, Weights]:
        """All of them, in the order in which a picture needs them."""
        return self.encoders, self.network, self.vae

    @property
    def is_here(self) -> bool:
        """Whether a forward could be made at once."""
        return self.network.is_here or (self.network.is_streamed and self.vae.is_here)

    @property
    def has_copy(self) -> bool:
        """Whether all can leave the device and come again."""
        return all(part.has_copy for part in self.parts)

    @property
    def size_bytes(self) -> int:
        """What all take."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def held_bytes(self) -> int:
        """What is on the device now."""
        return sum(part.size_bytes for part in self.parts if part.is_here)

    def follow(self, plan: Plan) -> None:
        """Be held as `plan` says, from the next `bring` on."""
        self.encoders.stays = plan.encoders == "resident"
        for part, is_streamed in (
            (self.encoders, plan.encoders == "streamed"),
            (self.network, plan.offload == "group"),
        ):
            if is_streamed:
                part.stream()
            else:
                part.end_streaming()
        if plan.encoders == "evicted" and not self.encoders.has_copy:
            self.encoders.keep_copy()
        if not self.encoders.stays:
            self.encoders.leave()

    def keep_copies(self) -> None:
        """See Weights."""
        for part in self.parts:
            if not part.has_copy:
                part.keep_copy()

    def drop_copies(self) -> None:
        """See Weights."""
        for part in self.parts:
            part.drop_copy()

    def bring(self) -> None:
        """Put on the device what is to stay there.

        Raises:
            torch.OutOfMemoryError: it is too full; all of it is in main memory.
        """
        try:
            for part in self.parts:
                if part.stays:
                    part.bring()
        except (RuntimeError, MemoryError):
            self.leave()
            raise

    def leave(self) -> bool:
        """See Weights."""
        left = [part.leave() for part in self.parts]
        return any(left)


def _bytes_of(tensor: torch.Tensor) -> int:
    """Return what a tensor takes; a quantised one says what it would take in full."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return tensor.nbytes
    names, _ = tensor.__tensor_flatten__()
    return sum(_bytes_of(getattr(tensor, name)) for name in names)


def _made(work: Callable[[torch.Tensor], torch.Tensor], tensor: torch.Tensor) -> torch.Tensor:
    """Return what `work` makes of a tensor, a parameter if that is one."""
    made = work(tensor.detach())
    is_parameter = isinstance(tensor, nn.Parameter)
    return nn.Parameter(made, requires_grad=False) if is_parameter else made


def _moved(tensor: torch.Tensor, device: torch.device, *, copy: bool) -> torch.Tensor:
    """Return `tensor` on `device`; a quantised one knows fewer ways to get there."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return tensor.to(device, non_blocking=True, copy=copy)
    return tensor.clone() if copy and tensor.device == device else tensor.to(device)


def _pinned(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy in pinned main memory, or in plain where its kind of tensor knows no other."""
    try:
        return tensor.cpu().pin_memory()
    except (NotImplementedError, RuntimeError) as error:
        # Slower to copy from, and as right: but somebody should be able to find out why.
        log.info("kept in plain main memory: %s", str(error).splitlines()[:1])
        return tensor.cpu()


def _slots(module: nn.Module) -> Iterator[_Slot]:
    for part in module.modules():
        for name in (*part._parameters, *part._buffers):  # noqa: SLF001 - each module's own alone
            if getattr(part, name) is not None:
                yield _Slot(part, name)
