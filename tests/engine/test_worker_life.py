"""How a worker's life ends: killed, stopped, orphaned or confused; and what follows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from server.domain.errors import WorkerDiedError
from server.domain.events import Event, Progress
from server.domain.models import EngineModel
from server.engine.client import EngineWorker, WorkerState
from tests.engine.drawing import request
from tests.engine.workers import (
    LONG,
    events_of,
    gone_within,
    new_worker,
    picture_of,
    pixels_of,
    running,
    runs,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(models: dict[str, EngineModel]) -> AsyncIterator[EngineWorker]:
    async with running(new_worker(models, ping_timeout_seconds=3.0)) as ready:
        yield ready


async def test_a_killed_worker_is_noticed_at_once_and_draws_the_same_after_its_restart(
    worker: EngineWorker,
) -> None:
    before = await picture_of(worker, request(seed=9))
    epoch, pid = worker.epoch, worker.pid
    drawing, waiting = (
        worker.generate(request(**LONG)),
        worker.generate(request(model="another")),  # not in memory: it waits for the first
    )
    async with contextlib.aclosing(drawing), contextlib.aclosing(waiting):
        while not isinstance(await anext(drawing), Progress):
            pass
        next_of_waiting = asyncio.ensure_future(anext(waiting))
        await asyncio.sleep(0.1)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        with pytest.raises(WorkerDiedError) as died:
            await _rest_of(drawing)
        with pytest.raises(WorkerDiedError) as died_waiting:
            await next_of_waiting
    assert time.monotonic() - killed_at < 1
    assert (died.value.started, died_waiting.value.started) == (True, False)
    assert worker.state is not WorkerState.READY
    after = await picture_of(worker, request(seed=9))
    assert worker.epoch == epoch + 1
    assert worker.last_error == "the worker process ended by SIGKILL"
    assert np.array_equal(pixels_of(before), pixels_of(after))


async def _rest_of(stream: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in stream]


async def test_a_stopped_process_is_noticed_and_replaced(worker: EngineWorker) -> None:
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WorkerDiedError, match="did not answer for 3 seconds"):
        await events_of(worker, request())
    assert await gone_within(pid, 1)
    await picture_of(worker, request())
    assert worker.pid != pid


async def test_after_stop_there_is_no_process_and_no_drawing(
    models: dict[str, EngineModel],
) -> None:
    worker = new_worker(models)
    await worker.start()
    async with asyncio.timeout(10):
        while worker.pid is None:  # noqa: ASYNC110 - it has no event for this
            await asyncio.sleep(0.01)
    pid = worker.pid
    await worker.stop()
    assert worker.state is WorkerState.STOPPED
    assert worker.loaded_models == ()
    assert await gone_within(pid, 1)
    with pytest.raises(WorkerDiedError):
        await events_of(worker, request())


async def test_what_is_asked_while_the_worker_is_stopped_ends_at_once(
    models: dict[str, EngineModel],
) -> None:
    worker = new_worker(models)
    async with running(worker):
        stopping = asyncio.create_task(worker.stop())
        drawing = []
        while not stopping.done():
            drawing.append(asyncio.create_task(events_of(worker, request())))
            await asyncio.sleep(0.001)
        async with asyncio.timeout(5):
            ended = await asyncio.gather(*drawing, return_exceptions=True)
    assert all(isinstance(error, WorkerDiedError) for error in ended)


@pytest.mark.parametrize("seconds", [0, 0.01, 0.1])
async def test_a_worker_can_be_stopped_while_it_starts(
    models: dict[str, EngineModel], seconds: float
) -> None:
    worker = new_worker(models)
    await worker.start()
    await asyncio.sleep(seconds)
    pid = worker.pid
    await worker.stop()
    assert pid is None or await gone_within(pid, 1)


_PARENT = """
import asyncio
from server.domain.rates import Rates
from server.engine.client import EngineWorker

async def main() -> None:
    worker = EngineWorker(
        "w", "cpu", infos=tuple, engine_model=None, rates=Rates(), load_source=None
    )
    await worker.start()
    {wait}
    print(worker.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("wait", ["await worker.ready()", "await asyncio.sleep(0.3)"])
async def test_a_worker_ends_with_its_killed_parent(wait: str) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PARENT.format(wait=wait)), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    lines = [line async for line in _until_number(parent.stdout)]
    child = int(lines[-1])
    assert runs(child)
    parent.kill()
    await parent.wait()
    assert await gone_within(child, 1)


async def _until_number(stdout: asyncio.StreamReader) -> AsyncIterator[bytes]:
    async for line in stdout:
        yield line
        if line.strip().isdigit():
            return


@pytest.mark.parametrize(
    "garbage",
    [b"\xff\xff\xff\xff", b"\x00\x00\x00\x03abc", b"\x00\x00\x00\x01\x80", b"\x00\x00\x00\x09half"],
)
async def test_garbage_ends_a_worker_with_a_status_of_its_own(garbage: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.engine.worker"),
            *("--fd", str(theirs.fileno()), "--device", "cpu"),
            pass_fds=(theirs.fileno(),),
            stderr=subprocess.PIPE,
        )
        theirs.close()
        ours.sendall(garbage)
        ours.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(10):
            _, said = await process.communicate()
    assert process.returncode == 3
    assert b"the worker ends" in said
