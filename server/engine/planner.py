"""How a model will be held on this device: chosen from its files' headers and what is free."""

from __future__ import annotations

from dataclasses import replace

import torch

from server.domain.errors import GpuMemoryError
from server.domain.models import EngineModel
from server.domain.planning import GIB, Offer, choose, needed_bytes, plans_for, smallest
from server.domain.plans import RESIDENT, Plan, Profile
from server.engine.loading import dtype_of
from server.engine.memory import DeviceMemory
from server.engine.parts import parts_of


class Planner:
    """Chooses plans for one device.

    Args:
        device: where models draw.
        memory: what may be taken of it.
    """

    def __init__(self, device: torch.device, memory: DeviceMemory) -> None:
        self._device = device
        self._memory = memory

    def plan(
        self, model: EngineModel, profile: Profile, pixels: int, *, is_short: bool = False
    ) -> Plan:
        """Return the plan for a model if all others left the device.

        FAST is a wish, which a device may not be able to grant; MEMORY is a permission, which is
        used where nothing exact fits but a streamed network, or where the device turned out to be
        too small in spite of what was reckoned (`is_short`).

        Raises:
            GpuMemoryError: not even the smallest that `profile` allows.
        """
        parts = parts_of(model, dtype_of(self._device).itemsize)
        if parts is None:
            return RESIDENT  # loading will say what is wrong
        offer, capacity = self._offer(profile), self._memory.capacity_bytes
        if is_short:
            fewer = [p for p in plans_for(profile, model.family, offer) if p.weights != "full"]
            if not fewer:
                raise GpuMemoryError(
                    f"{self._device} has too little memory for model '{model.id}' in full, and "
                    "8-bit weights need the extra 'quant'"
                )
            return min(fewer, key=lambda plan: self.needed_bytes(model, plan, pixels))
        wanted = Profile.FAST if profile is Profile.FAST else None
        plan = choose(parts, model.family, capacity, offer, wanted=wanted, pixels=pixels)
        if plan is not None:
            return plan
        # What a picture takes beside the weights is reckoned: it is tried.
        last = smallest(parts, model.family, offer, pixels=pixels)
        if needed_bytes(last, parts, model.family, pixels=0) <= capacity:
            return last
        raise GpuMemoryError(self._too_little(model, last, profile, pixels))

    def needed_bytes(self, model: EngineModel, plan: Plan, pixels: int) -> int:
        """Return what a model takes of the device with `plan`; 0: its files cannot be read."""
        parts = parts_of(model, dtype_of(self._device).itemsize)
        return 0 if parts is None else needed_bytes(plan, parts, model.family, pixels=pixels)

    def advice(self, model: EngineModel, plan: Plan, profile: Profile, pixels: int) -> str:
        """Return what would have helped a picture that did not fit with `plan`."""
        parts = parts_of(model, dtype_of(self._device).itemsize)
        words = ["a smaller picture needs less"]
        if parts is not None and profile is Profile.EXACT:
            less = smallest(parts, model.family, self._offer(Profile.MEMORY), pixels=pixels)
            need = needed_bytes(less, parts, model.family, pixels=pixels)
            if need < needed_bytes(plan, parts, model.family, pixels=pixels):
                words.append(
                    f"profile 'memory' would do with about {need / GIB:.1f} GiB ({less.name})"
                )
        if self._memory.promised_bytes:
            lent = self._memory.promised_bytes / GIB
            words.append(f"{lent:.1f} GiB are lent to a training and will come back")
        return ", ".join(words)

    def _offer(self, profile: Profile) -> Offer:
        allowed = frozenset({profile} if profile is Profile.MEMORY else ())
        return replace(self._memory.offer, profiles=allowed)

    def _too_little(self, model: EngineModel, last: Plan, profile: Profile, pixels: int) -> str:
        need = self.needed_bytes(model, last, pixels) + self._memory.offer.context_bytes
        have = self._memory.capacity_bytes
        return (
            f"model '{model.id}' needs about {need / GIB:.2f} GiB for this picture even with plan "
            f"'{last.name}'; {self._device} has {have / GIB:.2f} GiB; "
            f"{self.advice(model, last, profile, pixels)}"
        )
