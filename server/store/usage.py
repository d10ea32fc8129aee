"""What was drawn and what it cost: sums over the ledger."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Row, and_, case, cast, func, select

from server.domain.budgets import (
    PAID,
    BudgetState,
    Entry,
    EntryKind,
    UsageRow,
    budget_state,
)
from server.store.columns import read
from server.store.database import Database
from server.store.schema import budgets, keys, ledger

_GROUP = (
    ledger.c.day,
    ledger.c.key_id,
    ledger.c.owner,
    ledger.c.model,
    ledger.c.currency,
)
_is_local = ledger.c.device_seconds > 0
_is_picture = ledger.c.kind != EntryKind.LOST
_is_known = ledger.c.kind != EntryKind.UNPRICED


def _count(condition: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's expressions
    return cast(func.sum(case((condition, 1), else_=0)), Integer)


def _micros(condition: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's expressions
    return cast(func.sum(case((condition, ledger.c.micros), else_=0)), BigInteger)


class UsageRepository:
    """Reads only; lines are written where what they speak of is written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(
        self, start: str, end: str, *, owner: str | None = None, key_id: str | None = None
    ) -> builtins.list[UsageRow]:
        """Return sums for each day, key and model, oldest day first.

        Args:
            start: first day, such as 2026-11-01.
            end: last day.
            owner: whose; None: everyone's.
            key_id: of this key alone.
        """
        wanted: builtins.list[ColumnElement[bool]] = [
            ledger.c.kind.in_(PAID),
            ledger.c.day >= start,
            ledger.c.day <= end,
        ]
        if owner is not None:
            wanted.append(ledger.c.owner == owner)
        if key_id is not None:
            wanted.append(ledger.c.key_id == key_id)
        statement = (
            select(
                *_GROUP,
                _count(_is_picture).label("pictures"),
                _count(_is_local).label("local_pictures"),
                _count(~_is_known).label("unpriced_pictures"),
                func.sum(ledger.c.device_seconds).label("device_seconds"),
                _micros(_is_known).label("micros"),
                _micros(_is_known & _is_local).label("local_micros"),
            )
            .where(*wanted)
            .group_by(*_GROUP)
            .order_by(*_GROUP)
        )
        return [read(UsageRow, row) for row in await self._database.read(statement)]

    async def budgets(self, month: str, key_ids: Sequence[str]) -> builtins.list[BudgetState]:
        """Return the budgets of these keys in a month; keys without one are absent."""
        place = and_(budgets.c.key_id == keys.c.id, budgets.c.month == month)
        statement = (
            select(keys.c.id, keys.c.budget, budgets.c.currency)
            .add_columns(budgets.c.reserved, budgets.c.spent)
            .select_from(keys.outerjoin(budgets, place))
            .where(keys.c.id.in_(key_ids), keys.c.budget.is_not(None))
            .order_by(keys.c.id)
        )
        found: dict[str, BudgetState] = {}
        for row in await self._database.read(statement):
            if row.currency == row.budget.currency:
                found[row.id] = _budget(row, month, row.reserved, row.spent)
            else:  # nothing was reserved in the budget's currency
                found.setdefault(row.id, _budget(row, month, 0, 0))
        return list(found.values())

    async def entries(self, job_id: str) -> builtins.list[Entry]:
        """Return a job's lines in the order in which they were written, as far as times tell."""
        statement = select(ledger).where(ledger.c.job_id == job_id)
        rows = await self._database.read(statement.order_by(ledger.c.at, ledger.c.kind))
        return [read(Entry, row) for row in rows]


def _budget(row: Row[Any], month: str, reserved: int, spent: int) -> BudgetState:
    return budget_state(row.id, month, row.budget, reserved=reserved, spent=spent)
