"""The figures at the end of docs/profiles.md, out of bench/results/profiles/*.json."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bench.figures import Machine, greenroom_version

RESULTS = Path(__file__).parent / "results" / "profiles"
PAGE = Path(__file__).parent.parent / "docs" / "profiles.md"
MARK = "## Measured\n"

_HEAD = f"""{MARK}
Written by `python -m bench.profiles`; not edited by hand below this line. The error of latents is
the root mean square difference from the exact ones in parts of their deviation; the picture's is
its peak signal-to-noise ratio in dB against the exact picture: above 40 hardly anybody sees it.
Seconds are one picture's, words to pixels, or one decoding's, on a CPU those of its time that were
used; the network's memory is what its weights take. Random weights tell time and memory; how near a
real FLUX.1 stays, they do not.
"""
_COLUMNS = ("model", "technique", "latents", "picture, dB", "seconds", "network, MiB", "peak, GiB")


class Row(BaseModel):
    """One technique on one model; `reason`: why it did not run."""

    model_config = ConfigDict(frozen=True)

    subject: str
    technique: str
    latents_error: float | None
    psnr_db: float | None
    seconds: float | None
    network_mib: float | None
    peak_gib: float | None
    skipped: float | None
    reason: str | None

    @classmethod
    def without(cls, subject: str, technique: str, reason: str) -> Row:
        """Return the row of a technique that does not run here."""
        return cls(
            subject=subject,
            technique=technique,
            latents_error=None,
            psnr_db=None,
            seconds=None,
            network_mib=None,
            peak_gib=None,
            skipped=None,
            reason=reason,
        )


class Run(BaseModel):
    """All rows of one device."""

    model_config = ConfigDict(frozen=True)

    measured_on: str
    greenroom: str
    machine: Machine
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, machine: Machine, rows: tuple[Row, ...]) -> Run:
        """Return today's run."""
        return cls(
            measured_on=f"{datetime.now(UTC):%Y-%m-%d}",
            greenroom=greenroom_version(),
            machine=machine,
            rows=rows,
        )


def write_section(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Write the end of the page anew, from the mark on."""
    runs = [
        (file.stem, Run.model_validate_json(file.read_text()))
        for file in sorted(results.glob("*.json"))
    ]
    above = page.read_text().partition(MARK)[0]
    page.write_text(above + "\n".join([_HEAD, *(_section(*run) for run in runs)]))


def _section(name: str, run: Run) -> str:
    machine = run.machine
    lines = [
        f"### {name}\n",
        f"Greenroom {run.greenroom} on {machine.device}, {machine.memory_gib:g} GiB, "
        f"torch {machine.torch}; load by other work {machine.load:g}; {run.measured_on}.\n",
        f"| {' | '.join(_COLUMNS)} |",
        "|---" * len(_COLUMNS) + "|",
        *(_line(row) for row in run.rows),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    if row.reason is not None:
        return f"| {row.subject} | {row.technique} | not here: {row.reason} | | | | |"
    technique = row.technique
    if row.skipped is not None:
        technique += f", {row.skipped:.0%} of the steps left blocks out"
    cells = (
        _shown(row.latents_error, ".2g"),
        "equal" if row.psnr_db is None else f"{row.psnr_db:g}",
        _shown(row.seconds, ".3g"),
        _shown(row.network_mib, ".1f"),
        _shown(row.peak_gib, "g"),
    )
    return f"| {row.subject} | {technique} | {' | '.join(cells)} |"


def _shown(value: float | None, how: str) -> str:
    return "" if value is None else f"{value:{how}}"
