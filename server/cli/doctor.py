"""`greenroom doctor`: what this machine can run, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.cli.doctor_checks import Finding
    from server.cli.doctor_plans import OnCard, Planned

_MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "bad": "[bold red]bad[/]"}


def doctor(
    as_cards: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="GIB",
            help="Say instead which plan each model would run with on cards of so many GiB, "
            "such as 24 or 8,12,16.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at this machine, the settings and the models, and say what to mend."""
    if as_cards is not None:
        _print_cards(_sizes(as_cards), as_json=as_json)
        return
    from server.cli.console import FAILURE
    from server.cli.doctor_attention import attention
    from server.cli.doctor_checks import device_facts, findings
    from server.cli.doctor_plans import plans
    from server.cli.models import open_registry
    from server.cli.settings import read_settings

    settings = read_settings()
    facts = device_facts(settings)
    registry = open_registry()
    found = (*findings(settings, facts, registry), *attention(settings, facts))
    planned = plans(registry, facts)
    if as_json:
        _print_json(found, planned)
    else:
        _print(found, planned)
    if any(finding.state == "bad" for finding in found):
        raise typer.Exit(FAILURE)


def _sizes(said: str) -> list[float]:
    from server.cli.console import USAGE, CommandError

    try:
        sizes = [float(word) for word in said.split(",")]
    except ValueError:
        sizes = []
    if not sizes or not all(0 < size <= 4096 for size in sizes):
        raise CommandError(
            f"--as takes sizes in GiB, such as 24 or 8,12,16; not '{said}'", exit_code=USAGE
        )
    return sizes


def _print_cards(sizes: list[float], *, as_json: bool) -> None:
    import dataclasses
    import json

    from server.cli.console import print_table, results
    from server.cli.doctor_plans import on_cards
    from server.cli.models import open_registry

    found = on_cards(open_registry(), sizes)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(one) for one in found]))
        return
    for models, rows in _alike(found).items():
        results().print(", ".join(models), style="bold", markup=False)
        print_table(
            ("GiB", "exact", "profile memory", "profile fast"),
            [(" ".join(sizes), *plans) for plans, sizes in rows.items()],
        )
        results().print()


def _alike(found: Sequence[OnCard]) -> dict[tuple[str, ...], dict[tuple[str, ...], list[str]]]:
    """Return the models that have the same plans, and under each plan the cards' sizes."""
    of_model: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for one in found:
        plans = (one.exact, one.memory, one.fast)
        of_model.setdefault(one.id, {}).setdefault(plans, []).append(f"{one.card_gib:g}")
    alike: dict[tuple[str, ...], dict[tuple[str, ...], list[str]]] = {}
    for model, rows in of_model.items():
        same = next((models for models, its in alike.items() if its == rows), ())
        alike.pop(same, None)
        alike[(*same, model)] = rows
    return alike


def _print_json(found: Sequence[Finding], planned: Sequence[Planned]) -> None:
    import dataclasses
    import json

    value = {
        "checks": [dataclasses.asdict(finding) for finding in found],
        "models": [dataclasses.asdict(plan) for plan in planned],
    }
    typer.echo(json.dumps(value, ensure_ascii=False))


def _print(found: Sequence[Finding], planned: Sequence[Planned]) -> None:
    from rich.table import Table

    from server.cli.console import print_table, results

    out = results()
    table = Table.grid(padding=(0, 2))
    for finding in found:
        table.add_row(_MARKS[finding.state], finding.name, finding.said)
    out.print(table)
    out.print()
    print_table(
        ("model", "state", "fits", "plan", "why"),
        [
            (p.id, p.state, {True: "yes", False: "no", None: "?"}[p.fits], p.plan, p.why)
            for p in planned
        ],
    )
