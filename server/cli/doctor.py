"""`greenroom doctor`: what this machine can run, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.cli.doctor_checks import Finding
    from server.cli.doctor_plans import Plan

_MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "bad": "[bold red]bad[/]"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at this machine, the settings and the models, and say what to mend."""
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


def _print_json(found: Sequence[Finding], planned: Sequence[Plan]) -> None:
    import dataclasses
    import json

    value = {
        "checks": [dataclasses.asdict(finding) for finding in found],
        "models": [dataclasses.asdict(plan) for plan in planned],
    }
    typer.echo(json.dumps(value, ensure_ascii=False))


def _print(found: Sequence[Finding], planned: Sequence[Plan]) -> None:
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
