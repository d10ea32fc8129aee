"""Many remote pictures at once in one process: what they take beyond the service's own time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from bench.figures import Figure
from server.domain.connections import Connection, ProviderKind
from server.domain.events import Failed, Picture
from server.domain.images import ImageRequest
from server.domain.resolve import resolve
from server.net.fetch import SafeFetcher
from server.providers.factory import make_provider
from server.providers.http import make_client
from server.providers.remote import RemoteProvider

CALLS = 200
SERVICE_SECONDS = 3.0
SIDE = 512
THREADS_GOAL = 40.0  # the pool that decodes pictures has at most 32, however many calls there are
_LOOK_SECONDS = 0.02


async def measure() -> tuple[Figure, ...]:
    """Draw 200 pictures at once with a service that takes three seconds for each."""
    threads = 0
    before = threading.active_count()

    async def count_threads() -> None:
        nonlocal threads
        while True:
            threads = max(threads, threading.active_count() - before)
            await asyncio.sleep(_LOOK_SECONDS)

    with _service() as url:
        async with make_client() as client:
            provider = make_provider(
                _connection(url),
                key="a key",
                client=client,
                fetch=SafeFetcher().get,
                load_source=_no_source,
            )
            counting = asyncio.create_task(count_threads())
            alone = await _draw(provider)
            started = time.perf_counter()
            each = await asyncio.gather(*(_draw(provider) for _ in range(CALLS)))
            together = time.perf_counter() - started
            counting.cancel()
    return _figures(alone, together, max(each), threads)


def _figures(alone: float, together: float, slowest: float, threads: int) -> tuple[Figure, ...]:
    return (
        Figure(
            what=f"threads that {CALLS} remote pictures at once add",
            value=threads,
            unit="threads",
            goal=THREADS_GOAL,
            detail={},
        ),
        Figure(
            what=f"a remote picture's time beyond the service's own, {CALLS} at once",
            value=round((together - SERVICE_SECONDS) / CALLS * 1000, 1),
            unit="ms",
            goal=None,
            detail={
                "service's seconds": SERVICE_SECONDS,
                "all, seconds": round(together, 2),
                "slowest, seconds": round(slowest, 2),
                "alone, ms beyond": round((alone - SERVICE_SECONDS) * 1000, 1),
                "side in pixels": SIDE,
            },
        ),
    )


async def _draw(provider: RemoteProvider) -> float:
    [info] = await provider.models()
    request = resolve(ImageRequest(prompt="a red kite", width=SIDE, height=SIDE), info, seed=7)
    started = time.perf_counter()
    pictures = 0
    async for event in provider.generate(request):
        if isinstance(event, Failed):
            raise event.error
        pictures += isinstance(event, Picture)
    if pictures != 1:
        raise RuntimeError(f"{pictures} pictures came")
    return time.perf_counter() - started


@contextmanager
def _service() -> Iterator[str]:
    command = [sys.executable, "-m", "bench.slow_service", str(SERVICE_SECONDS), str(SIDE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the service has no output")
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def _connection(url: str) -> Connection:
    now = datetime.now(UTC)
    return Connection(
        id="0" * 26,
        name="slow",
        provider=ProviderKind.OPENAI,
        model="slow-model",
        base_url=url,
        has_key=True,
        created_at=now,
        updated_at=now,
    )


async def _no_source(source_id: str) -> bytes:
    raise KeyError(source_id)
