"""Time kernels on the shapes that a network was seen to use, and leave out the wrong ones."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from server.engine.attention.kernels import Kernel, usual

log = logging.getLogger(__name__)

_ROUNDS = 7  # the least time counts
_LOOKED_AT = 64  # queries that are compared with the exact result
# Root mean square difference from the result in fp32, in parts of it.
_TOLERANCE: Mapping[torch.dtype, float] = {torch.float32: 1e-4}
_TOLERANCE_OF_HALVES = 1e-2


@dataclass(frozen=True, slots=True)
class Shape:
    """One call of attention: rows, heads, tokens that ask, tokens that answer, channels."""

    rows: int
    heads: int
    queries: int
    keys: int
    channels: int


class Recorder:
    """Computes as torch chooses and notes the shapes that come."""

    def __init__(self) -> None:
        self.shapes: Counter[Shape] = Counter()

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """See Kernel."""
        rows, heads, queries, channels = query.shape
        self.shapes[Shape(rows, heads, queries, key.shape[2], channels)] += 1
        return usual(query, key, value)


def seconds_of(
    kernels: Mapping[str, Kernel],
    shapes: Mapping[Shape, int],
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, float]:
    """Return the seconds that each kernel takes for all of `shapes`, so many times each.

    Kernels take turns, so that other work on the machine falls on all alike. One that cannot
    compute a shape here, computes something else or runs out of memory is left out; without
    memory for a shape itself, all are.
    """
    totals = dict.fromkeys(kernels, 0.0)
    for shape, count in shapes.items():
        try:
            tensors = _tensors(shape, device, dtype)
        except (RuntimeError, MemoryError) as error:
            log.info("attention cannot be measured now: %s", str(error).splitlines()[:1])
            return {}
        totals = {name: total for name, total in totals.items() if _works(kernels[name], tensors)}
        least = _least({name: kernels[name] for name in totals}, tensors, device)
        totals = {name: totals[name] + count * seconds for name, seconds in least.items()}
    return totals


def _least(
    kernels: Mapping[str, Kernel],
    tensors: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    device: torch.device,
) -> dict[str, float]:
    """Return the least seconds of each kernel, without those that no longer find memory."""
    least = dict.fromkeys(kernels, math.inf)
    for _ in range(_ROUNDS):
        for name in list(least):
            try:
                least[name] = min(least[name], _seconds(kernels[name], tensors, device))
            except (torch.OutOfMemoryError, MemoryError):
                del least[name]  # pictures took the memory meanwhile
    return least


def _works(kernel: Kernel, tensors: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> bool:
    try:
        return _is_right(kernel(*tensors), *tensors)
    # A kernel that was built for another card, another torch or other shapes says so in many
    # ways. Whatever it is, this kernel is not used.
    except (RuntimeError, NotImplementedError, ValueError, TypeError, ImportError) as error:
        log.info("an attention kernel does not run here: %s", str(error).splitlines()[:1])
        return False


def _tensors(
    shape: Shape, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    numbers = torch.Generator(device).manual_seed(1)

    def made(tokens: int) -> torch.Tensor:
        # As projections lie in memory: the heads of a token side by side.
        size = (shape.rows, tokens, shape.heads, shape.channels)
        return torch.randn(size, generator=numbers, device=device, dtype=dtype).transpose(1, 2)

    return made(shape.queries), made(shape.keys), made(shape.keys)


def _is_right(
    found: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> bool:
    """Return whether `found` is near the exact result, looking at some of the queries."""
    if found.shape != query.shape or found.dtype != query.dtype:
        return False
    some = query[:1, :, :_LOOKED_AT].float()
    scores = some @ key[:1].float().mT / query.shape[-1] ** 0.5
    exact = scores.softmax(dim=-1) @ value[:1].float()
    off = (found[:1, :, :_LOOKED_AT].float() - exact).square().mean().sqrt()
    allowed = _TOLERANCE.get(query.dtype, _TOLERANCE_OF_HALVES)
    return bool(off <= allowed * exact.square().mean().sqrt())


def _seconds(
    kernel: Kernel,
    tensors: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    device: torch.device,
) -> float:
    settle(device)
    started = time.perf_counter()
    kernel(*tensors)
    settle(device)
    return time.perf_counter() - started


def settle(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
