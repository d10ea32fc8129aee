"""What a picture costs on top of the bare pipeline call, measured in pairs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.figures import Figure
from bench.server import Running
from bench.start import draw

PAIRS = 30
ADDED_GOAL_MS = 15.0
MEMORY_GOAL_MB = 150.0


def measure(server: Running, folder: Path) -> tuple[Figure, ...]:
    """Draw the same picture in turn by the bare pipeline and over HTTP.

    Args:
        server: ready, with nothing else to do.
        folder: the default model's diffusers folder.
    """
    call = _recipe_of_default(server)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "bench.bare", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as bare:
        # One thread, as the worker draws a network of this size: what is left is the server's.
        bare_seconds = _caller(bare, {**call, "threads": 1})
        for _ in range(3):  # the pipeline is warm by now
            draw(server, seed=call["seed"])
        cpu_before = server.cpu_seconds()
        triples = [(bare_seconds(), *_timed(server, call["seed"])) for _ in range(PAIRS)]
        if bare.stdin is not None:
            bare.stdin.close()
    cpu = server.cpu_seconds() - cpu_before
    added = median(served - alone for alone, served, _ in triples)
    outside = median(served - worker for _, served, worker in triples)
    return (
        Figure(
            what="added to each picture by HTTP, queue, storage and encoding",
            value=_ms(added),
            unit="ms",
            goal=ADDED_GOAL_MS,
            detail={
                "bare pipeline": _ms(median(alone for alone, _, _ in triples)),
                "served": _ms(median(served for _, served, _ in triples)),
                "of it outside the worker": _ms(outside),
                "processor time of the HTTP process": _ms(cpu / PAIRS),
                "pairs": PAIRS,
            },
        ),
        Figure(
            what="memory of the HTTP process after that",
            value=round(server.rss_mb()),
            unit="MB",
            goal=MEMORY_GOAL_MB,
            detail={},
        ),
    )


def _recipe_of_default(server: Running) -> dict[str, int]:
    """Return the pipeline's arguments for what the server draws, from a recipe it wrote."""
    body = {"prompt": "a lighthouse in the fog", "seed": 7}
    job = server.client.post("/api/v1/jobs", json=body, headers={"Prefer": "wait=60"}).json()
    recipe = job["images"][0]["recipe"]
    names = ("prompt", "width", "height", "num_inference_steps", "guidance_scale", "seed")
    call = {name: recipe[name] for name in names}
    if recipe["negative_prompt"] is not None:
        call["negative_prompt"] = recipe["negative_prompt"]
    return call


def _caller(bare: subprocess.Popen[str], call: dict[str, int]) -> Callable[[], float]:
    def draw_alone() -> float:
        if bare.stdin is None or bare.stdout is None:
            raise RuntimeError("the bare pipeline has no pipes")
        bare.stdin.write(json.dumps(call) + "\n")
        bare.stdin.flush()
        return float(bare.stdout.readline())

    return draw_alone


def _timed(server: Running, seed: int) -> tuple[float, float]:
    """Return the seconds until the file is here, and how many of them the worker drew."""
    started = time.perf_counter()
    drawn = draw(server, seed=seed)
    return time.perf_counter() - started, drawn


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
