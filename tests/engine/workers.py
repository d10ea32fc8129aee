"""Workers over the small models, and what the tests do with them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from server.domain.errors import NotFoundError
from server.domain.events import Event, Picture
from server.domain.models import EngineModel, Family, ModelPart, ModelSource
from server.domain.rates import Rates
from server.engine.client import EngineWorker

SOURCE = "0" * 26
DAMAGED = "1" * 26
HUGE = "3" * 26
# So many steps that no machine draws it before a test is through with it.
LONG = {"num_inference_steps": 150, "width": 512, "height": 512}


def engine_model(
    model_id: str, folder: Path, family: Family, parts: tuple[ModelPart, ...] = ()
) -> EngineModel:
    return EngineModel(
        id=model_id,
        family=family,
        source=ModelSource(kind="folder", path=str(folder), parts=parts),
        fingerprint=f"{model_id}-1",
        scheduler=None,
        distilled_guidance=family is Family.FLUX,
    )


def new_worker(
    models: dict[str, EngineModel], sources: dict[str, bytes] | None = None, **settings: Any
) -> EngineWorker:
    async def load_source(image_id: str) -> bytes:
        try:
            return (sources or {})[image_id]
        except KeyError:
            raise NotFoundError(f"no picture {image_id}") from None

    return EngineWorker(
        "local",
        "cpu",
        infos=lambda: (),
        engine_model=models.__getitem__,
        rates=Rates(),
        load_source=load_source,
        **settings,
    )


@contextlib.asynccontextmanager
async def running(worker: EngineWorker) -> AsyncIterator[EngineWorker]:
    await worker.start()
    try:
        async with asyncio.timeout(180):
            await worker.ready()
        yield worker
    finally:
        await worker.stop()


async def events_of(worker: EngineWorker, asked: Any) -> list[Event]:
    async with asyncio.timeout(180):
        return [event async for event in worker.generate(asked)]


async def picture_of(worker: EngineWorker, asked: Any) -> Picture:
    last = (await events_of(worker, asked))[-1]
    assert isinstance(last, Picture), last
    return last


def pixels_of(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.data)))


def is_same(one: Picture, other: Picture) -> bool:
    """Return whether two files show one picture.

    In other company the last bits of a float may round otherwise: one level at most.
    """
    levels = pixels_of(one).astype(int) - pixels_of(other).astype(int)
    return bool(np.abs(levels).max() <= 1)


async def gone_within(pid: int, seconds: float) -> bool:
    """Return whether process `pid` ends in time; a zombie that nobody reaped counts as ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not runs(pid):
            return True
        await asyncio.sleep(0.02)
    return False


def runs(pid: int) -> bool:
    """Return whether process `pid` is there and more than a zombie."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
