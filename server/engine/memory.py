"""How much of a device may be taken."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from server.domain.models import Family
from server.domain.planning import Offer
from server.domain.plans import Plan, Weights
from server.engine.plans.possible import why_not

_CGROUP = Path("/sys/fs/cgroup")


class DeviceMemory:
    """What may be taken of a device.

    Args:
        device: which.
        held: what this process has taken of it.
        budget_bytes: the most it may take in all; None: all there is.
        offer: what the device can do when memory is short.
    """

    def __init__(
        self,
        device: torch.device,
        held: Callable[[], int],
        budget_bytes: int | None = None,
        offer: Offer | None = None,
    ) -> None:
        self._device = device
        self._held = held
        self._budget = budget_bytes
        self._ceiling: int | None = None  # of what we take, while others were promised a part
        self._promised: dict[int, int] = {}
        self.offer = offer or offer_of(device)
        self._bind_allocator()

    @property
    def free_bytes(self) -> int:
        """What may be taken beside what is held."""
        limits = [limit for limit in (self._budget, self._ceiling) if limit is not None]
        actual = free_bytes(self._device)
        return max(0, min([actual, *(limit - self._held() for limit in limits)]))

    @property
    def capacity_bytes(self) -> int:
        """What could be held if all of ours were given back first."""
        return self._held() + self.free_bytes

    @property
    def promised_bytes(self) -> int:
        """What others may take now."""
        return sum(self._promised.values())

    def promise(self, number: int, size_bytes: int, missing_bytes: int | None = None) -> None:
        """Leave `size_bytes` to somebody else, until `take_back`.

        Args:
            number: of the promise.
            size_bytes: all of it.
            missing_bytes: how much of it is free still; None: all.
        """
        missing = size_bytes if missing_bytes is None else missing_bytes
        self._ceiling = self.capacity_bytes - missing
        self._promised[number] = size_bytes
        self._bind_allocator()

    def take_back(self, number: int) -> None:
        """Count what was promised under this number as ours again."""
        size_bytes = self._promised.pop(number, 0)
        if self._ceiling is not None:
            self._ceiling = self._ceiling + size_bytes if self._promised else None
        self._bind_allocator()

    def _bind_allocator(self) -> None:
        """Have a card's allocator give no more than the limits: forwards take what nobody counts.

        Beyond them it says that memory ran out, as it does on a smaller card.
        """
        if self._device.type == "cuda":
            total = torch.cuda.mem_get_info(self._device)[1]
            limits = [limit for limit in (self._budget, self._ceiling) if limit is not None]
            torch.cuda.set_per_process_memory_fraction(min([total, *limits]) / total, self._device)


def offer_of(device: torch.device) -> Offer:
    """Return what `device` can do when memory is short."""
    kinds: tuple[Weights, ...] = ("int8", "fp8", "nf4")
    can = [kind for kind in kinds if why_not(Plan(weights=kind), Family.FLUX, device) is None]
    weights: frozenset[Weights] = frozenset({"full", *can})
    if device.type == "cuda":
        return Offer(weights=weights)
    return Offer(weights, streams=False, context_bytes=0)  # the device is the main memory


def free_bytes(device: torch.device) -> int:
    """Return what this process could still take of `device`."""
    if device.type == "cuda":
        held_unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + held_unused
    return min(_available_bytes(), _cgroup_bytes())


def give_back(device: torch.device, *, pipelines: bool) -> None:
    """Return to the system what was freed, since allocators keep it.

    Args:
        device: whose memory.
        pipelines: whether some were let go of; they hold themselves in cycles.
    """
    if pipelines:
        gc.collect()  # takes a while
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if pipelines and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        _empty_host_cache()
    if pipelines and sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def _empty_host_cache() -> None:
    """Give pinned main memory back; CUDA's allocator of it keeps what was freed, too."""
    empty = getattr(torch.accelerator, "empty_host_cache", None)  # younger than the oldest torch
    if empty is not None:
        empty()


def _available_bytes() -> int:
    """Return what Linux says can be had without swapping; elsewhere, no limit is known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 2**62
    kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
    return int(kilobytes) * 1024


def _cgroup_bytes() -> int:
    """Return what a container's own limit leaves."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return 2**62
    return 2**62 if limit == "max" else max(0, int(limit) - used)
