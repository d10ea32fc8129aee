"""What a chain adds to a request that its own model draws, measured in pairs."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.figures import Figure, results
from bench.server import Running, free_port, serving, wait_until_ready
from bench.table import RESULTS, write_page

PAIRS = 200
MEMBERS = 4
GOAL_MS = 2.0
_WARM_UP = 5
_MODEL = "speck"
# As small as can be: the drawing is the same in both, and only hides the difference.
_MODELS = f"""
default: {_MODEL}
models:
  - id: {_MODEL}
    name: Speck
    family: sdxl
    source: {{random: sdxl}}
    licence: none
    gated: false
    demonstration: true
    description: Random weights that draw one step of noise
    defaults: {{num_inference_steps: 1, guidance_scale: 1}}
    sizes: {{"1:1": 64x64}}
"""


def main() -> None:
    """Measure, keep the result, and write docs/benchmarks.md anew."""
    load = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        (data_dir / "models.yaml").write_text(_MODELS)
        with serving(data_dir) as server:
            wait_until_ready(server)
            device = server.client.get("/api/v1/workers").json()["items"][0]["device"]
            figures = measure(server)
    run = results(device, _MODEL, load, figures)
    name = f"routing-{device.replace(':', '-')}-{run.machine.cores}-cores"
    (RESULTS / f"{name}.json").write_text(run.model_dump_json(indent=2) + "\n")
    write_page()
    print(json.dumps([figure.model_dump() for figure in figures], indent=2))


def measure(server: Running) -> tuple[Figure, ...]:
    """Draw the same picture in turn without a chain and with one that is never needed.

    The two take turns at being first, so that what else the machine does meets both.
    """
    _make_chain(server)
    for _ in range(_WARM_UP):
        _draw(server, "never")
    added, alone, chained = [], [], []
    for number in range(PAIRS):
        order = ("never", "any") if number % 2 else ("any", "never")
        seconds = {fallback: _draw(server, fallback) for fallback in order}
        alone.append(seconds["never"])
        chained.append(seconds["any"])
        added.append(seconds["any"] - seconds["never"])
    with_chain, without = (_cpu_seconds(server, fallback) for fallback in ("any", "never"))
    return (
        Figure(
            what=f"added to a request by a chain of {MEMBERS} connections",
            value=_ms(median(added)),
            unit="ms",
            goal=GOAL_MS,
            detail={
                "without": _ms(median(alone)),
                "with": _ms(median(chained)),
                "processor time with": _ms(with_chain),
                "processor time without": _ms(without),
                "pairs": PAIRS,
            },
        ),
    )


def _make_chain(server: Running) -> None:
    names = [f"member-{number}" for number in range(MEMBERS)]
    for name in names:
        connection = {
            "name": name,
            "provider": "openai",
            "model": "painter-9",
            "base_url": f"http://127.0.0.1:{free_port()}/v1",  # nobody is ever asked
        }
        server.client.post("/api/v1/connections", json=connection).raise_for_status()
    path = f"/api/v1/chains/{_MODEL}"
    server.client.put(path, json={"members": names}).raise_for_status()


def _draw(server: Running, fallback: str) -> float:
    """Return the seconds of one request; `never` resolves nobody but the model itself."""
    body = {"prompt": "a fox", "model": _MODEL, "fallback": fallback}
    started = time.perf_counter()
    answer = server.client.post("/api/v1/jobs", json=body, headers={"Prefer": "wait=60"})
    seconds = time.perf_counter() - started
    job = answer.raise_for_status().json()
    if job["state"] != "succeeded" or sum(m["is_allowed"] for m in job["route"]) != (
        1 if fallback == "never" else 1 + MEMBERS
    ):
        raise RuntimeError(f"this is not what should be measured: {job}")
    return seconds


def _cpu_seconds(server: Running, fallback: str) -> float:
    """Return the processor time of the HTTP process for one request; other work does not count."""
    before = server.cpu_seconds()
    for _ in range(PAIRS):
        _draw(server, fallback)
    return (server.cpu_seconds() - before) / PAIRS


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


if __name__ == "__main__":
    main()
