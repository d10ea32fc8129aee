"""docs/gpu-figures.md out of a result of `python -m bench.gpu`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bench.figures import Figure, Machine
from server.domain.models import Family

PAGE = Path(__file__).parent.parent / "docs" / "gpu-figures.md"

_HEAD = """# Figures of a GPU

Made by `python -m bench.gpu` with random weights of the real sizes; not edited by hand. A floor is
what the arithmetic alone takes on one H200 at 790 TFLOP/s in bf16.
"""


class Part(BaseModel):
    """One part that was measured."""

    model_config = ConfigDict(frozen=True)

    family: Family
    name: str
    figures: tuple[Figure, ...]
    trouble: str | None
    took_seconds: float


class Report(BaseModel):
    """All parts of one device."""

    model_config = ConfigDict(frozen=True)

    measured_on: str
    greenroom: str
    machine: Machine
    parts: tuple[Part, ...]


def write_table(report: Report, page: Path | None = PAGE) -> str:
    """Return the page's text, and write it where `page` says."""
    machine = report.machine
    lines = [
        _HEAD,
        f"Greenroom {report.greenroom} on {machine.device}, torch {machine.torch}, "
        f"{report.measured_on}.\n",
        "| what | measured | floor | goal |",
        "|---|---|---|---|",
        *(_row(figure) for part in report.parts for figure in part.figures),
        *(
            f"| {part.family.value} {part.name} | {part.trouble} | | |"
            for part in report.parts
            if part.trouble
        ),
    ]
    text = "\n".join(lines) + "\n"
    if page is not None:
        page.write_text(text)
    return text


def _row(figure: Figure) -> str:
    more = "; ".join(f"{name} {value:g}" for name, value in figure.detail.items())
    what = f"{figure.what} ({more})" if more else figure.what
    floor = "" if figure.floor is None else f"{figure.floor:g} {figure.unit}"
    goal = "" if figure.goal is None else f"{figure.goal:g} {figure.unit}"
    if goal and not figure.is_met:
        goal += ", missed"
    return f"| {what} | {figure.value:g} {figure.unit} | {floor} | {goal} |"
