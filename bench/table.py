"""docs/benchmarks.md out of bench/results/*.json."""

from __future__ import annotations

from pathlib import Path

from bench.figures import Figure, Results

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"

_HEAD = """# Benchmarks

Made by `make bench` out of `bench/results/*.json`; not edited by hand. A goal is the most that a
value should be. A small model of the real classes is drawn with, so the figures say
what the server adds, not how fast a model is.
"""


def page(found: list[tuple[str, Results]]) -> str:
    """Return the page for the named runs."""
    return "\n".join([_HEAD, *(_section(name, run) for name, run in found)])


def read_all() -> list[tuple[str, Results]]:
    """Return every run that is kept, by name."""
    return [
        (file.stem, Results.model_validate_json(file.read_text()))
        for file in sorted(RESULTS.glob("*.json"))
    ]


def write_page() -> None:
    """Write docs/benchmarks.md anew."""
    PAGE.write_text(page(read_all()))


def _section(name: str, run: Results) -> str:
    machine = run.machine
    rows = "\n".join(_row(figure) for figure in run.figures)
    facts = (
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB, "
        f"Python {machine.python}, torch {machine.torch}; load by other work {machine.load:g}"
    )
    return f"""## {name}

Greenroom {run.greenroom}, model `{run.model}` on {machine.device}, {run.measured_on}.
{facts}.

| what | measured | goal |
|---|---|---|
{rows}
"""


def _row(figure: Figure) -> str:
    bound = "at least " if figure.more_is_better else ""
    goal = "" if figure.goal is None else f"{bound}{figure.goal:g} {figure.unit}"
    if goal and not figure.is_met:
        goal += ", missed"
    more = "; ".join(f"{name} {value:g}" for name, value in figure.detail.items())
    what = f"{figure.what} ({more})" if more else figure.what
    return f"| {what} | {figure.value:g} {figure.unit} | {goal} |"
