"""What a measurement says, and on what machine."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Figure(BaseModel):
    """One measured value. `goal` is the most it should be; None: no goal was set."""

    model_config = ConfigDict(frozen=True)

    what: str
    value: float
    unit: str
    goal: float | None
    detail: dict[str, float]

    @property
    def is_met(self) -> bool:
        """True when the goal is met or there is none."""
        return self.goal is None or self.value <= self.goal


class Machine(BaseModel):
    """What it was measured on; nothing that names the machine itself."""

    model_config = ConfigDict(frozen=True)

    processor: str
    cores: int
    memory_gib: float
    device: str
    python: str
    torch: str
    load: float  # of other work, as the kernel averages it, before the run


class Results(BaseModel):
    """One run of all measurements."""

    model_config = ConfigDict(frozen=True)

    measured_on: str
    greenroom: str
    machine: Machine
    model: str
    figures: tuple[Figure, ...]


def this_machine(device: str, load: float) -> Machine:
    """Return the facts that a reader needs to judge the figures."""
    page = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(page / 2**30, 1),
        device=device,
        python=platform.python_version(),
        torch=version("torch"),
        load=load,
    )


def results(device: str, model: str, load: float, figures: tuple[Figure, ...]) -> Results:
    """Return today's run."""
    return Results(
        measured_on=f"{datetime.now(UTC):%Y-%m-%d}",
        greenroom=version("greenroom"),
        machine=this_machine(device, load),
        model=model,
        figures=figures,
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
