"""How long until the first answer, and until the first picture."""

from __future__ import annotations

import time
from pathlib import Path

from bench.figures import Figure
from bench.server import Running, serving, wait_until_ready

LISTENING_GOAL = 1.5


def draw(server: Running, *, seed: int) -> bytes:
    """Draw one picture with the default model and return its file."""
    body = {"prompt": "a lighthouse in the fog", "seed": seed}
    answer = server.client.post("/api/v1/jobs", json=body, headers={"Prefer": "wait=60"})
    job = answer.raise_for_status().json()
    if job["state"] != "succeeded":
        raise RuntimeError(f"the job is {job['state']}: {job['error']}")
    return server.client.get(job["images"][0]["url"]).raise_for_status().content


def measure(data_dir: Path) -> tuple[Figure, ...]:
    """Start twice: on an empty folder, where the model has to be made, and again."""
    first_ever = _start(data_dir)
    listening, first_picture = _start(data_dir)
    return (
        Figure(
            what="from start to listening",
            value=round(listening, 2),
            unit="s",
            goal=LISTENING_GOAL,
            detail={"on an empty data folder": round(first_ever[0], 2)},
        ),
        Figure(
            what="from start to the first picture",
            value=round(first_picture, 2),
            unit="s",
            goal=None,
            detail={"on an empty data folder": round(first_ever[1], 2)},
        ),
    )


def _start(data_dir: Path) -> tuple[float, float]:
    with serving(data_dir) as server:
        wait_until_ready(server)
        draw(server, seed=1)
        return server.listening_seconds, time.perf_counter() - server.started
