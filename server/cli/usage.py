"""`greenroom usage`: what was drawn and what it cost. Works with or without a server."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.console import USAGE, CommandError, results, span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from server.domain.money import Money
    from server.services.usage_views import UsageLine, UsageTotal, UsageView


class Form(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    SVG = "svg"


_HEADINGS = ("day", "key", "owner", "model", "pictures", "GPU time", "cost", "credits", "saved")


def usage(
    first: Annotated[
        str | None, typer.Option("--from", help="First day, such as 2026-11-01; else 30 days.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day; else today, in UTC.")] = None,
    key: Annotated[str | None, typer.Option(help="Only this key's, by its id.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only this owner's.")] = None,
    form: Annotated[Form, typer.Option("--format", help="For people or programs.")] = Form.TABLE,
) -> None:
    """Show pictures, GPU time and money for each day, key and model, and what budgets have left."""
    import asyncio

    start, end = _day("--from", first), _day("--to", last)
    report = asyncio.run(_report(start, end, owner, key))
    if form is Form.TABLE:
        _print(report)
    else:
        # As it is: a table for spreadsheets has its own ends of lines.
        results().file.write(_written(report, form))


async def _report(
    start: date | None, end: date | None, owner: str | None, key: str | None
) -> UsageView:
    from datetime import UTC, datetime

    from server.cli.settings import make_data_dir, read_settings
    from server.domain.keys import ADMIN_OWNER, Caller, Scope
    from server.services.usage import Usage
    from server.store.store import Store

    settings = read_settings()
    make_data_dir(settings)
    admin = Caller(key_id="admin", owner=ADMIN_OWNER, scopes=frozenset({Scope.ADMIN}))
    store = await Store.open(settings.store_url)  # rows alone: a server may run beside this
    try:
        reports = Usage(store, settings.tariff, lambda: datetime.now(UTC))
        return await reports.report(admin, start=start, end=end, owner=owner, key_id=key)
    finally:
        await store.close()


def _written(report: UsageView, form: Form) -> str:
    from server.services.usage_plot import as_svg
    from server.services.usage_views import as_csv

    if form is Form.CSV:
        return as_csv(report)
    return as_svg(report) if form is Form.SVG else report.model_dump_json() + "\n"


def _print(report: UsageView) -> None:
    from server.cli.console import notes, print_table

    if not report.items:
        notes().print(f"Nothing was drawn from {report.start} to {report.end}.")
    else:
        rows = [
            (
                str(line.day),
                line.key_name or line.key_id,
                line.owner,
                line.model,
                *_figures(line),
            )
            for line in report.items
        ]
        sums = [("in all", "", "", "", *_figures(total)) for total in report.totals]
        print_table(_HEADINGS, [*rows, *sums])
    for state in report.budgets:
        notes().print(
            f"Budget of {state.key_id} for {state.month}: {state.spent} spent, {state.reserved} "
            f"reserved, {state.left} of {state.limit} left.",
            markup=False,
        )
    if report.compared_with is not None:
        with_price, basis = report.compared_with.price, report.compared_with.basis
        notes().print(f"Saved against {with_price} a picture ({basis}).", markup=False)


def _figures(line: UsageLine | UsageTotal) -> Sequence[str]:
    return (
        str(line.pictures),
        span(line.device_seconds),
        _cost(line.cost, line.unpriced_pictures),
        "" if line.credits is None else str(line.credits),
        str(line.saved or ""),
    )


def _cost(cost: Money | None, unpriced: int) -> str:
    if cost is None:
        return "not priced"
    return f"{cost} + {unpriced} not priced" if unpriced else str(cost)


def _day(option: str, written: str | None) -> date | None:
    from datetime import date

    if written is None:
        return None
    try:
        return date.fromisoformat(written)
    except ValueError as error:
        raise CommandError(
            f"{option}: '{written}' is no day; write it like 2026-11-01", exit_code=USAGE
        ) from error
