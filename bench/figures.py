"""What a measurement says, and on what machine."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Figure(BaseModel):
    """One measured value.

    `goal` is the most it should be, or the least where `more_is_better`; None: no goal was set.
    `floor` is what arithmetic alone allows on the device, where it is known.
    """

    model_config = ConfigDict(frozen=True)

    what: str
    value: float
    unit: str
    goal: float | None
    detail: dict[str, float]
    more_is_better: bool = False
    floor: float | None = None

    @property
    def is_met(self) -> bool:
        """True when the goal is met or there is none."""
        if self.goal is None:
            return True
        return self.value >= self.goal if self.more_is_better else self.value <= self.goal


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
        greenroom=greenroom_version(),
        machine=this_machine(device, load),
        model=model,
        figures=figures,
    )


def greenroom_version() -> str:
    """Return our version, or `source` in a checkout that is not installed."""
    try:
        return version("greenroom")
    except PackageNotFoundError:
        return "source"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
