"""`python -m bench.gpu --out FILE`: SDXL and FLUX.1 at real size on a CUDA device.

Every part is kept in the file as soon as it is measured; a later run goes on with what is missing.
`--small` draws with small networks on any device and only shows that the parts run.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import torch

from bench.figures import Machine, greenroom_version, this_machine
from bench.gpu_loop import loop_figures
from bench.gpu_memory import memory
from bench.gpu_models import Built, build
from bench.gpu_parts import (
    Settings,
    compiled,
    equality,
    rows_against_time,
    single,
)
from bench.gpu_table import Part, Report, write_table
from server.domain.models import Family
from server.engine.hardware import device_name

PARTS = {
    "single": single,
    "equality": equality,
    "rows": rows_against_time,
    "loop": loop_figures,
    "memory": memory,
    "compiled": compiled,  # last: it changes the network for good
}


def main() -> None:
    """Measure what is missing in the file, for as long as there is time."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the result, made or gone on with")
    parser.add_argument("--seconds", type=float, default=540, help="start no part after these")
    parser.add_argument("--families", nargs="+", default=["sdxl", "flux"])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--table", action="store_true", help="only write docs/gpu-figures.md")
    arguments = parser.parse_args()
    if arguments.table:
        write_table(Report.model_validate_json(arguments.out.read_text()))
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not arguments.small:
        parser.error("there is no CUDA device; --small only tries the code")
    ends_at = time.monotonic() + arguments.seconds
    for family in map(Family, arguments.families):
        missing = _missing(arguments.out, family, arguments.parts)
        if missing and time.monotonic() < ends_at:
            with _built(family, device, small=arguments.small) as built:
                _run(built, missing, arguments.out, ends_at, Settings.of(family, arguments.small))
    print(write_table(_read(arguments.out, device), page=None))


def _run(built: Built, names: list[str], out: Path, ends_at: float, settings: Settings) -> None:
    for name in names:
        if time.monotonic() > ends_at:
            return
        started = time.monotonic()
        _say(f"{built.family.value} {name} ...")
        try:
            figures, trouble = tuple(PARTS[name](built, settings)), None
        except torch.OutOfMemoryError as error:  # a smaller card than the one it was written for
            figures, trouble = (), f"out of memory: {str(error).splitlines()[0]}"
        _collect()
        part = Part(
            family=built.family,
            name=name,
            figures=figures,
            trouble=trouble,
            took_seconds=round(time.monotonic() - started, 1),
        )
        report = _read(out, built.device)
        kept = [p for p in report.parts if (p.family, p.name) != (part.family, part.name)]
        report = report.model_copy(update={"parts": (*kept, part)})
        out.write_text(report.model_dump_json(indent=2) + "\n")
        _say(f"  {part.took_seconds:g} s {trouble or ''}")


def _missing(out: Path, family: Family, names: list[str]) -> list[str]:
    if not out.exists():
        return names
    report = Report.model_validate_json(out.read_text())
    done = {part.name for part in report.parts if part.family is family}
    return [name for name in names if name not in done]


def _read(out: Path, device: torch.device) -> Report:
    if out.exists():
        return Report.model_validate_json(out.read_text())
    return Report(
        measured_on=f"{datetime.now(UTC):%Y-%m-%d}",
        greenroom=greenroom_version(),
        machine=_machine(device),
        parts=(),
    )


def _machine(device: torch.device) -> Machine:
    return this_machine(device_name(device), 0.0)


@contextmanager
def _built(family: Family, device: torch.device, *, small: bool) -> Iterator[Built]:
    _say(f"Building {family.value} with random weights ...")
    built = build(family, device, small=small)
    with torch.inference_mode():
        yield built
    del built
    _collect()


def _collect() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
