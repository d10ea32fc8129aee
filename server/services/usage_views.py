"""A usage report as the outside sees it: as values and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date

from server.domain.budgets import BudgetState
from server.domain.images import Frozen
from server.domain.money import Money, total


class Comparison(Frozen):
    """What a picture drawn here is compared with: the price of one elsewhere, and whose it is."""

    price: Money
    basis: str


class UsageLine(Frozen):
    """What one key drew with one model on one day.

    `cost` is null where nothing had a price. `saved` is what the local pictures would have cost
    at the price compared with, less what they did cost; null without such a price.
    """

    day: date
    key_id: str
    key_name: str | None
    owner: str
    model: str
    pictures: int
    local_pictures: int
    unpriced_pictures: int
    device_seconds: float
    cost: Money | None
    credits: int | None
    saved: Money | None


class UsageTotal(Frozen):
    """The sum of all lines of one currency."""

    pictures: int
    local_pictures: int
    unpriced_pictures: int
    device_seconds: float
    cost: Money | None
    credits: int | None
    saved: Money | None

    @classmethod
    def of(cls, lines: Sequence[UsageLine]) -> UsageTotal:
        """Return the sum of lines whose costs are of one currency."""
        credits = [line.credits for line in lines if line.credits is not None]
        return cls(
            pictures=sum(line.pictures for line in lines),
            local_pictures=sum(line.local_pictures for line in lines),
            unpriced_pictures=sum(line.unpriced_pictures for line in lines),
            device_seconds=sum(line.device_seconds for line in lines),
            cost=total([line.cost for line in lines]),
            credits=sum(credits) if credits else None,
            saved=total([line.saved for line in lines if line.saved is not None]),
        )


class UsageView(Frozen):
    """A report from `start` to `end`, both included; days are UTC's. Budgets are this month's."""

    start: date
    end: date
    items: tuple[UsageLine, ...]
    totals: tuple[UsageTotal, ...]
    compared_with: Comparison | None
    budgets: tuple[BudgetState, ...]


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(report: UsageView) -> str:
    """Return the report's lines for a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        (
            "day",
            "key_id",
            "key_name",
            "owner",
            "model",
            "pictures",
            "local_pictures",
            "unpriced_pictures",
            "device_seconds",
            "cost",
            "currency",
            "credits",
            "saved",
        )
    )
    writer.writerows(_cells(line) for line in report.items)
    return out.getvalue()


def _cells(line: UsageLine) -> tuple[object, ...]:
    money = line.cost or line.saved
    return (
        line.day,
        line.key_id,
        _text(line.key_name or ""),
        _text(line.owner),
        line.model,
        line.pictures,
        line.local_pictures,
        line.unpriced_pictures,
        f"{line.device_seconds:.3f}",
        line.cost.decimal if line.cost else "",
        money.currency if money else "",
        "" if line.credits is None else line.credits,
        line.saved.decimal if line.saved else "",
    )


def _text(words: str) -> str:
    # A spreadsheet would run a name that begins like a formula.
    return f"'{words}" if words.startswith(_FORMULA) else words
