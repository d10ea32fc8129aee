"""What a tick costs besides the network's forward, measured inside the drawing loop."""

from __future__ import annotations

import socket
import threading
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
from server.domain.images import ResolvedRequest
from server.domain.models import EngineModel
from server.engine.inbox import Inbox
from server.engine.loop import Loop
from server.engine.messages import Draw
from server.engine.outbox import Outbox
from server.engine.wire import encode


def measure(model: EngineModel, asked: ResolvedRequest, pictures: int) -> Figure:
    """Return the milliseconds of a tick of `pictures` equal pictures outside its forward."""
    ours, theirs = socket.socketpair()
    outbox = Outbox(theirs)
    inbox = Inbox(theirs, outbox)
    loop = Loop(inbox, outbox, torch.device("cpu"))
    for work in (inbox.read_forever, outbox.send_forever):
        threading.Thread(target=work, daemon=True).start()
    threading.Thread(target=_drain, args=(ours,), daemon=True).start()
    for number in range(pictures):
        draw = Draw(draw=number, model=model, request=asked, preview_interval_seconds=0.5)
        ours.sendall(encode(draw))
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
    ours.shutdown(socket.SHUT_RDWR)
    return Figure(
        what=f"a tick of {pictures} besides the network's forward",
        value=round(median(outside) * 1000, 2),
        unit="ms",
        goal=None,
        detail={"forward, ms": round(median(forwards) * 1000, 1), "ticks": len(outside)},
    )


def _drain(end: socket.socket) -> None:
    while end.recv(65536):
        pass


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
