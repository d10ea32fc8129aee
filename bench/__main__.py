"""`make bench`: measure this machine, keep the result, write docs/benchmarks.md anew."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from bench import engine, health, overhead, providers, start
from bench.figures import Results, results
from bench.server import Running, serving, wait_until_ready
from bench.table import RESULTS, page, write_page
from server.registry.registry import Registry
from server.settings import default_models_file


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--name", help="of the result; else the device and the number of cores")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = measure(Path(folder))
    name = arguments.name or f"{run.machine.device.replace(':', '-')}-{run.machine.cores}-cores"
    (RESULTS / f"{name}.json").write_text(run.model_dump_json(indent=2) + "\n")
    write_page()
    print(page([(name, run)]))


def measure(data_dir: Path) -> Results:
    """Return all figures, measured in `data_dir`."""
    load = os.getloadavg()[0]
    _say("Drawing with the step engine and with the bare pipeline")
    engine_figures = asyncio.run(engine.measure(data_dir))
    _say("Starting servers")
    figures = start.measure(data_dir)
    with serving(data_dir) as server:
        wait_until_ready(server)
        device, model = _facts(server)
        _say("Drawing pairs, bare and served")
        figures += overhead.measure(server, _folder(data_dir, model))
        _say("Asking for health under load")
        figures += health.measure(server)
    figures += engine_figures
    _say("Drawing with a slow service, many pictures at once")
    figures += asyncio.run(providers.measure())
    return results(device, model, round(load, 1), figures)


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


def _facts(server: Running) -> tuple[str, str]:
    workers = server.client.get("/api/v1/workers").raise_for_status().json()["items"]
    models = server.client.get("/api/v1/models").raise_for_status().json()["items"]
    default = next(model["id"] for model in models if model["is_default"])
    return workers[0]["device"], default


def _folder(data_dir: Path, model: str) -> Path:
    registry = Registry(default_models_file(), data_dir, models_dir=data_dir / "models")
    return Path(registry.engine_model(model).source.path)


if __name__ == "__main__":
    main()
