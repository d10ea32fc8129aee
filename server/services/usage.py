"""What was drawn, what it cost, and what budgets have left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from server.domain.budgets import BudgetState, UsageRow, month_of
from server.domain.errors import ForbiddenError, InvalidRequestError
from server.domain.keys import Caller, Scope
from server.domain.money import Money
from server.domain.tariff import Tariff
from server.services.usage_views import Comparison, UsageLine, UsageTotal, UsageView
from server.store.store import Store

_USUAL_DAYS = 30
_MOST_DAYS = 366
RemotePrice = Callable[[], Awaitable[tuple[str, Money] | None]]


class Usage:
    """Reports out of the ledger.

    Args:
        store: has the ledger.
        tariff: the currency, what a credit is, and what a picture costs elsewhere.
        now: the clock.
        remote_price: the name and price of the cheapest remote picture that may be drawn from
            here, for servers whose tariff names nothing to compare with.
    """

    def __init__(
        self,
        store: Store,
        tariff: Tariff,
        now: Callable[[], datetime],
        remote_price: RemotePrice | None = None,
    ) -> None:
        self._store = store
        self._tariff = tariff
        self._now = now
        self._remote_price = remote_price

    async def report(
        self,
        caller: Caller,
        *,
        start: date | None = None,
        end: date | None = None,
        owner: str | None = None,
        key_id: str | None = None,
    ) -> UsageView:
        """Return what was drawn from `start` to `end`, both included, for each day, key and model.

        Args:
            caller: sees what is its owner's; an administrator everything.
            start: absent: 30 days up to `end`.
            end: absent: today, in UTC.
            owner: only this owner's.
            key_id: only this key's.

        Raises:
            ForbiddenError: `owner` is somebody else.
            InvalidRequestError: more than a year, or the end is before the start.
        """
        end = end or self._now().astimezone(UTC).date()
        start = start or end - timedelta(days=_USUAL_DAYS - 1)
        _check_span(start, end)
        owner = _allowed(caller, owner)
        rows = await self._store.usage.rows(
            start.isoformat(), end.isoformat(), owner=owner, key_id=key_id
        )
        names = await self._names(owner, key_id)
        compared = await self._comparison()
        lines = tuple(self._line(row, names, compared) for row in rows)
        return UsageView(
            start=start,
            end=end,
            items=lines,
            totals=tuple(_totals(lines)),
            compared_with=compared,
            budgets=await self._budgets(list(names)),
        )

    async def _names(self, owner: str | None, key_id: str | None) -> dict[str, str]:
        keys = await self._store.keys.list()
        return {
            key.id: key.name
            for key in keys
            if owner in (None, key.owner) and key_id in (None, key.id)
        }

    async def _budgets(self, key_ids: Sequence[str]) -> tuple[BudgetState, ...]:
        return tuple(await self._store.usage.budgets(month_of(self._now()), key_ids))

    async def _comparison(self) -> Comparison | None:
        if self._tariff.remote_picture is not None:
            basis = "GREENROOM_COMPARE_PRICE_PER_IMAGE"
            return Comparison(price=self._tariff.remote_picture, basis=basis)
        found = None if self._remote_price is None else await self._remote_price()
        if found is None:
            return None
        name, price = found
        return Comparison(price=price, basis=f"the lowest price of '{name}'")

    def _line(self, row: UsageRow, names: dict[str, str], compared: Comparison | None) -> UsageLine:
        is_known = row.pictures > row.unpriced_pictures
        cost = Money(micros=row.micros, currency=row.currency) if is_known else None
        return UsageLine(
            **row.model_dump(exclude={"micros", "local_micros", "currency"}),
            key_name=names.get(row.key_id),
            cost=cost,
            credits=self._tariff.credits(cost, max(1, row.pictures - row.unpriced_pictures)),
            saved=_saved(row, compared),
        )


def _saved(row: UsageRow, compared: Comparison | None) -> Money | None:
    """Return how much less the pictures drawn here cost; below zero: they cost more."""
    if compared is None or row.currency != compared.price.currency or not row.local_pictures:
        return None
    elsewhere = compared.price.times(row.local_pictures)
    return Money(micros=elsewhere.micros - row.local_micros, currency=row.currency)


def _totals(lines: Sequence[UsageLine]) -> list[UsageTotal]:
    """Return one sum for each currency, and one for pictures without a price."""
    by_currency: dict[str | None, list[UsageLine]] = {}
    for line in lines:
        by_currency.setdefault(line.cost.currency if line.cost else None, []).append(line)
    return [UsageTotal.of(found) for _, found in sorted(by_currency.items(), key=str)]


def _check_span(start: date, end: date) -> None:
    if end < start:
        raise InvalidRequestError(f"{end} is before {start}", parameter="to")
    if (end - start).days >= _MOST_DAYS:
        raise InvalidRequestError(
            f"{start} to {end} is more than {_MOST_DAYS} days; ask for less at once",
            parameter="from",
        )


def _allowed(caller: Caller, owner: str | None) -> str | None:
    if caller.may(Scope.ADMIN):
        return owner
    if owner not in (None, caller.owner):
        raise ForbiddenError("only administrators see what others used; leave `owner` away")
    return caller.owner
