"""What the drawing loop adds on a GPU: ticks, cancels, short pictures behind long ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

import torch

from bench.figures import Figure
from bench.gpu_models import Built
from bench.gpu_parts import Settings, draw_by_steps, request
from bench.looping import Looping
from server.domain.images import ResolvedRequest
from server.engine.families.base import FamilyPipeline


def loop_figures(built: Built, settings: Settings) -> Iterator[Figure]:
    """Time the loop's own part of a tick, a cancel, and a short picture behind long ones."""
    model = built.engine_model()
    looping = Looping(built.device, lambda *_: built.drawn_by_steps(), model)
    size = settings.sizes[0]
    long = request(settings, size, num_inference_steps=50)
    short = request(settings, size, num_inference_steps=4, seed=9)
    name = f"{built.family.value} {size}"
    try:
        looping.draw([short])  # the model is in memory and warm
        alone = looping.seconds([long])
        yield _overhead(built, settings, name, looping)
        yield _cancel(name, looping, long)
        first = looping.seconds([long] * 4 + [short], until=4)
        yield Figure(
            what=f"{name}: 4 steps behind four pictures of 50, sooner than one after the other",
            value=round((4 * alone + alone * 4 / 50) / first, 1),
            unit="x",
            goal=10.0,
            more_is_better=True,
            detail={"seconds": round(first, 3), "one of 50 alone, s": round(alone, 3)},
        )
    finally:
        looping.close()


def _overhead(built: Built, settings: Settings, name: str, looping: Looping) -> Figure:
    """Compare pictures through the loop with the same steps taken bare."""
    asked = request(settings, settings.sizes[0])
    family = built.drawn_by_steps()
    through, bare = [], []
    for _ in range(settings.rounds):
        through.append(looping.seconds([asked]))
        started = time.perf_counter()
        _bare(family, asked)
        bare.append(time.perf_counter() - started)
    return Figure(
        what=f"{name}: a picture through the loop to its PNG, over the bare steps",
        value=round(100 * (median(through) / median(bare) - 1), 2),
        unit="%",
        goal=1.0,
        detail={"loop, s": round(median(through), 3), "bare, s": round(median(bare), 3)},
    )


def _bare(family: FamilyPipeline, asked: ResolvedRequest) -> None:
    draw_by_steps(family, asked)
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _cancel(name: str, looping: Looping, long: ResolvedRequest) -> Figure:
    return Figure(
        what=f"{name}: from a cancel to the next picture's first step",
        value=round(1000 * median(looping.cancel_seconds(long) for _ in range(3)), 1),
        unit="ms",
        goal=None,
        detail={},
    )
