"""How long until the first answer, and until the first picture."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

from bench.figures import Figure
from bench.server import Running, serving, wait_until_ready

LISTENING_GOAL = 1.5
STARTS = 3


def draw(server: Running, *, seed: int) -> float:
    """Draw one picture with the default model, fetch its file, and return the worker's seconds."""
    body = {"prompt": "a lighthouse in the fog", "seed": seed}
    answer = server.client.post("/api/v1/jobs", json=body, headers={"Prefer": "wait=60"})
    job = answer.raise_for_status().json()
    if job["state"] != "succeeded":
        raise RuntimeError(f"the job is {job['state']}: {job['error']}")
    [image] = job["images"]
    server.client.get(image["url"]).raise_for_status()
    seconds: float = image["duration_seconds"]
    return seconds


def measure(data_dir: Path) -> tuple[Figure, ...]:
    """Start on an empty folder, where the model has to be made, and then again and again."""
    first_listening, first_ever = _start(data_dir)
    again = [_start(data_dir) for _ in range(STARTS)]
    return (
        Figure(
            what="from start to listening",
            value=round(median(listening for listening, _ in again), 2),
            unit="s",
            goal=LISTENING_GOAL,
            detail={"on an empty data folder": round(first_listening, 2), "starts": STARTS},
        ),
        Figure(
            what="from start to the first picture",
            value=round(median(picture for _, picture in again), 2),
            unit="s",
            goal=None,
            detail={"on an empty data folder": round(first_ever, 2), "starts": STARTS},
        ),
    )


def _start(data_dir: Path) -> tuple[float, float]:
    with serving(data_dir) as server:
        wait_until_ready(server)
        draw(server, seed=1)
        return server.listening_seconds, time.perf_counter() - server.started
