"""What a tick costs besides the network's forward, measured inside the drawing loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch
from diffusers import UNet2DConditionModel
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from bench.figures import Figure
from bench.looping import Looping
from server.domain.images import ResolvedRequest
from server.domain.models import EngineModel
from server.engine.loading import load


def measure(model: EngineModel, asked: ResolvedRequest, pictures: int) -> Figure:
    """Return the milliseconds of a tick of `pictures` equal pictures outside its forward."""
    looping = Looping(torch.device("cpu"), load, model)
    looping.ask([asked] * pictures)
    loop = looping.loop
    outside, forwards = [], []
    with _forward_seconds() as inside, torch.inference_mode():
        while len(loop.rows) < pictures:
            loop.tick()
        while len(loop.rows) == pictures and loop.rows[0].trajectory.predictions_left > 1:
            inside.clear()
            started = time.perf_counter()
            loop.tick()
            outside.append(time.perf_counter() - started - sum(inside))
            forwards.append(sum(inside))
    looping.close()
    return Figure(
        what=f"a tick of {pictures} besides the network's forward",
        value=round(median(outside) * 1000, 2),
        unit="ms",
        goal=None,
        detail={"forward, ms": round(median(forwards) * 1000, 1), "ticks": len(outside)},
    )


@contextmanager
def _forward_seconds() -> Iterator[list[float]]:
    """Yield a list that gets the seconds of every forward of a UNet."""
    found: list[float] = []
    began = [0.0]

    def before(module: torch.nn.Module, _: object) -> None:
        if isinstance(module, UNet2DConditionModel):
            began[0] = time.perf_counter()

    def after(module: torch.nn.Module, _: object, __: object) -> None:
        if isinstance(module, UNet2DConditionModel):
            found.append(time.perf_counter() - began[0])

    hooks = [register_module_forward_pre_hook(before), register_module_forward_hook(after)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
