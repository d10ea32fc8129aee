"""The two ways to draw that are compared: our worker, and the bare pipeline in a queue."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from server.domain.events import Picture
from server.domain.images import ImageFormat, ResolvedRequest
from server.domain.models import EngineModel
from server.domain.rates import Rates
from server.engine.client import EngineWorker

# Of a request, what the pipeline is called with.
_CALL = (
    "prompt",
    "negative_prompt",
    "width",
    "height",
    "seed",
    "num_inference_steps",
    "guidance_scale",
    "max_sequence_length",
    "scheduler",
)


class Rival(Protocol):
    """Draws requests that all come at once."""

    async def draw(self, asked: Sequence[ResolvedRequest]) -> list[float]:
        """Return how many seconds after the start each picture was a PNG file's bytes."""
        ...


class Worker:
    """Our worker process, asked over its socket."""

    def __init__(self, worker: EngineWorker) -> None:
        self._worker = worker

    async def draw(self, asked: Sequence[ResolvedRequest]) -> list[float]:
        """See Rival."""
        started = time.perf_counter()

        async def one(request: ResolvedRequest) -> float:
            async with aclosing(self._worker.generate(request)) as events:
                async for event in events:
                    if isinstance(event, Picture):
                        return time.perf_counter() - started
            raise RuntimeError(f"no picture of {request.prompt!r}")

        return list(await asyncio.gather(*map(one, asked)))


class Pipeline:
    """The bare pipeline in a process, called for one request after the other as they came."""

    def __init__(self, process: asyncio.subprocess.Process, threads: int) -> None:
        self._process = process
        self._threads = threads

    async def draw(self, asked: Sequence[ResolvedRequest]) -> list[float]:
        """See Rival."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the bare pipeline has no pipes")
        started = time.perf_counter()
        for request in asked:
            self._process.stdin.write(json.dumps(self._call(request)).encode() + b"\n")
        done = []
        for _ in asked:
            if not await self._process.stdout.readline():
                raise RuntimeError("the bare pipeline ended")
            done.append(time.perf_counter() - started)
        return done

    def _call(self, request: ResolvedRequest) -> dict[str, Any]:
        said = {name: getattr(request, name) for name in _CALL}
        return {name: value for name, value in said.items() if value is not None} | {
            "threads": self._threads
        }


@asynccontextmanager
async def worker(model: EngineModel) -> AsyncGenerator[Worker]:
    """Run our worker for `model` on the CPU."""

    async def no_source(_: str) -> bytes:
        raise RuntimeError("no request here has a source")

    running = EngineWorker(
        "bench",
        "cpu",
        infos=lambda: (),
        engine_model=lambda _: model,
        rates=Rates(),
        load_source=no_source,
    )
    await running.start()
    try:
        await running.ready()
        yield Worker(running)
    finally:
        await running.stop()


@asynccontextmanager
async def pipeline(folder: Path, scratch: Path, threads: int) -> AsyncGenerator[Pipeline]:
    """Run the bare pipeline for the model in `folder`; it saves its files in `scratch`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "bench.bare", str(folder), str(scratch / "bare")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Pipeline(process, threads)
    finally:
        process.kill()
        await process.wait()


def request(model: EngineModel, size: int, **values: Any) -> ResolvedRequest:  # noqa: ANN401
    """Return a request with every value set."""
    return ResolvedRequest.model_validate(
        {
            "model": model.id,
            "prompt": "a red cat in the snow",
            "negative_prompt": None,
            "width": size,
            "height": size,
            "num_images": 1,
            "seed": 1,
            "num_inference_steps": 20,
            "guidance_scale": 3.0,
            "true_cfg_scale": None,
            "scheduler": None,
            "max_sequence_length": None,
            "image": None,
            "strength": None,
            "format": ImageFormat.PNG,
        }
        | values
    )
