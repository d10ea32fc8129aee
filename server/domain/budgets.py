"""Budgets of keys, month by month, and the ledger's lines. Amounts here are micro-units."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from server.domain.images import Frozen, Id
from server.domain.money import Currency, Money

Month = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}$")]
WHOLE_JOB = -1  # index of lines that are about no single picture


def month_of(at: datetime) -> str:
    """Return the calendar month in UTC, such as 2026-11."""
    return f"{at.astimezone(UTC):%Y-%m}"


def renewal(month: str) -> datetime:
    """Return when the next month begins."""
    year, number = map(int, month.split("-"))
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


class Hold(Frozen):
    """What a job has reserved, in the month in which it was submitted."""

    month: Month
    amount: Money


class EntryKind(StrEnum):
    """What a line says. RESERVE, EXTRA and RELEASE move a budget; the others say what was drawn.

    For every ended job with a hold: reserve + extra + waive = charges + assumed + lost + release.
    """

    RESERVE = "reserve"  # taken from the budget when the job came
    CHARGE = "charge"  # what a picture cost
    ASSUMED = "assumed"  # a picture whose cost nobody says, at its share of the hold
    UNPRICED = "unpriced"  # a picture without a price
    LOST = "lost"  # a picture that a service may have billed and that never came, at its share
    RELEASE = "release"  # given back to the budget when the job ended
    EXTRA = "extra"  # taken from the budget beyond the hold, where it had room
    WAIVE = "waive"  # what was beyond hold and budget: nobody's budget pays it


PICTURES = (EntryKind.CHARGE, EntryKind.ASSUMED, EntryKind.UNPRICED)
PAID = (*PICTURES, EntryKind.LOST)


class Entry(Frozen):
    """A line of the ledger, written once. It is known by (job_id, kind, index)."""

    job_id: Id
    kind: EntryKind
    index: int  # of the picture, or WHOLE_JOB
    key_id: str
    owner: str
    image_id: Id | None
    model: str
    served_by: str | None
    micros: int = Field(ge=0)
    currency: Currency
    device_seconds: float
    day: str
    at: datetime


class Charge(Frozen):
    """A picture's line, and what its job holds, if anything."""

    entry: Entry
    hold: Hold | None


class Settlement(Frozen):
    """What becomes of a hold."""

    charged: int
    released: int
    extra: int
    waived: int


def settle(held: int, cost: int, room: int | None) -> Settlement:
    """Return how a hold of `held` pays `cost`, so that a budget is never exceeded.

    Args:
        held: what was reserved.
        cost: what was drawn.
        room: what the budget still has beside all holds; None: it has no end.
    """
    beyond = max(0, cost - held)
    extra = beyond if room is None else min(beyond, max(0, room))
    return Settlement(
        charged=min(cost, held) + extra,
        released=max(0, held - cost),
        extra=extra,
        waived=beyond - extra,
    )


class BudgetState(Frozen):
    """A key's budget in one month; `left` is what new jobs may still reserve."""

    key_id: str
    month: Month
    limit: Money
    reserved: Money
    spent: Money
    left: Money
    renews_at: datetime


def budget_state(
    key_id: str, month: str, limit: Money, *, reserved: int, spent: int
) -> BudgetState:
    """Return a budget of `limit` of which so many micro-units are gone."""

    def money(micros: int) -> Money:
        return Money(micros=micros, currency=limit.currency)

    return BudgetState(
        key_id=key_id,
        month=month,
        limit=limit,
        reserved=money(reserved),
        spent=money(spent),
        left=money(max(0, limit.micros - reserved - spent)),
        renews_at=renewal(month),
    )


class UsageRow(Frozen):
    """What one key drew with one model on one day, in one currency.

    Attributes:
        day: in UTC.
        key_id: whose it is.
        owner: of the key.
        model: as registered here.
        currency: of the amounts.
        pictures: how many.
        local_pictures: how many of them on devices of this server.
        unpriced_pictures: how many of them have no known price.
        device_seconds: on devices of this server.
        micros: what the others cost.
        local_micros: what those of this server's devices cost of it.
    """

    day: str
    key_id: str
    owner: str
    model: str
    currency: Currency
    pictures: int
    local_pictures: int
    unpriced_pictures: int
    device_seconds: float
    micros: int
    local_micros: int
