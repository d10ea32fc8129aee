"""How long /health/live takes while eight clients keep the worker busy."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median, quantiles

from bench.figures import Figure
from bench.load import CLIENTS
from bench.server import Running

SECONDS = 15.0
GOAL_MS = 20.0
_PAUSE_SECONDS = 0.01
_WARM_UP_SECONDS = 2.0


def measure(server: Running) -> tuple[Figure, ...]:
    """Ask for /health/live every 10 ms under full load; the 99th percentile counts."""
    url = str(server.client.base_url)
    token = server.client.headers["Authorization"].removeprefix("Bearer ")
    command = [sys.executable, "-m", "bench.load", url, token, str(SECONDS + _WARM_UP_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        time.sleep(_WARM_UP_SECONDS)
        times = _ask(server, time.monotonic() + SECONDS)
        drawn = int(load.communicate()[0])
    return (
        Figure(
            what=f"/health/live with {CLIENTS} busy clients, 99th percentile",
            value=round(quantiles(times, n=100)[98], 1),
            unit="ms",
            goal=GOAL_MS,
            detail={
                "median": round(median(times), 1),
                "longest": round(max(times), 1),
                "questions": len(times),
                "pictures drawn meanwhile": drawn,
            },
        ),
    )


def _ask(server: Running, until: float) -> list[float]:
    times: list[float] = []
    while time.monotonic() < until:
        started = time.perf_counter()
        server.client.get("/health/live").raise_for_status()
        times.append((time.perf_counter() - started) * 1000)
        time.sleep(_PAUSE_SECONDS)
    return times
