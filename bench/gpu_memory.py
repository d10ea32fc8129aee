"""What a model's way between main memory and the device takes, and what a picture takes there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median

import torch

from bench.figures import Figure
from bench.gpu_models import Built
from bench.gpu_parts import Settings, draw_by_steps, request
from server.domain.models import Family
from server.domain.planning import GIB, Parts, needed_bytes
from server.domain.plans import RESIDENT
from server.engine.families.base import FamilyPipeline

_ROUNDS = 3
# What PCIe 5 with 16 lanes carries; a swap can be no shorter.
_BYTES_PER_SECOND = 55e9


def memory(built: Built, settings: Settings) -> Iterator[Figure]:
    """Time a swap from main memory, and hold what planning reckons against what is taken."""
    family = built.drawn_by_steps()
    yield from _peaks(built, family, settings)
    yield from _swap(built, family)


def _peaks(built: Built, family: FamilyPipeline, settings: Settings) -> Iterator[Figure]:
    if built.device.type != "cuda":
        return
    weights = family.weights
    parts = Parts(weights.network.size_bytes, weights.encoders.size_bytes, weights.vae.size_bytes)
    for size in settings.sizes:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        draw_by_steps(family, request(settings, size, num_inference_steps=2))
        taken = torch.cuda.max_memory_reserved(built.device)
        reckoned = needed_bytes(RESIDENT, parts, built.family, pixels=size * size)
        yield Figure(
            what=f"{size} x {size}: memory taken, of what planning reckons",
            value=taken / reckoned,
            unit="times",
            goal=1.0,
            detail={"taken_gib": taken / GIB, "reckoned_gib": reckoned / GIB},
        )


def _swap(built: Built, family: FamilyPipeline) -> Iterator[Figure]:
    weights = family.weights
    started = time.perf_counter()
    weights.keep_copies()
    weights.bring()
    _settle(built)
    first = time.perf_counter() - started
    size = weights.size_bytes
    away = _seconds(built, weights.leave, before=weights.bring)
    back = _seconds(built, weights.bring, before=weights.leave)
    detail = {"gib": size / GIB, "first_copy_seconds": first}
    is_sdxl = built.family is Family.SDXL and built.device.type == "cuda"
    yield Figure(
        what="a model leaves for main memory", value=away * 1e3, unit="ms", goal=None, detail=detail
    )
    yield Figure(
        what="a model comes back from main memory",
        value=back,
        unit="s",
        goal=0.6 if is_sdxl else None,
        detail=detail,
        floor=size / _BYTES_PER_SECOND,
    )


def _seconds(built: Built, work: Callable[[], object], before: Callable[[], object]) -> float:
    taken = []
    for _ in range(_ROUNDS):
        before()
        _settle(built)
        started = time.perf_counter()
        work()
        _settle(built)
        taken.append(time.perf_counter() - started)
    return median(taken)


def _settle(built: Built) -> None:
    if built.device.type == "cuda":
        torch.cuda.synchronize(built.device)
