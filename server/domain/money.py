"""Money: integer micro-units of a currency, never a float."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated, Self

from pydantic import Field, StringConstraints

from server.domain.images import Frozen

MICROS = 1_000_000  # in one unit: 1 USD is 1,000,000 micros
_MOST_MICROS = 2**53  # every JSON reader keeps these exact
_SECONDS_PER_HOUR = 3600
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Money(Frozen):
    """An amount; of one currency, since amounts of two never add up.

    Attributes:
        micros: millionths of the currency's unit.
        currency: as ISO 4217 spells it.
    """

    micros: int = Field(ge=-_MOST_MICROS, le=_MOST_MICROS)
    currency: Currency = "USD"

    @classmethod
    def parse(cls, amount: str | Decimal, currency: str) -> Self:
        """Return an amount as people write it, such as 1.80.

        Raises:
            ValueError: no number, below zero, too large, or finer than a micro-unit.
        """
        try:
            micros = Decimal(amount) * MICROS
        except InvalidOperation as error:
            raise ValueError(f"'{amount}' is no amount; write it like 1.80") from error
        if not micros.is_finite() or not 0 <= micros <= _MOST_MICROS:
            raise ValueError(f"'{amount}' is no amount; write it like 1.80")
        if micros != int(micros):
            raise ValueError(f"'{amount}' is finer than a millionth; write at most six decimals")
        return cls(micros=int(micros), currency=currency)

    def __str__(self) -> str:
        """Write it for people: `1.80 USD`, with as many decimals as it has, at least two."""
        return f"{self.decimal} {self.currency}"

    @property
    def decimal(self) -> str:
        """The amount alone: `1.80`, `0.000035`."""
        whole, _, rest = f"{Decimal(self.micros) / MICROS:.6f}".partition(".")
        return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"

    def __add__(self, other: Self) -> Money:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")
        return Money(micros=self.micros + other.micros, currency=self.currency)

    def times(self, count: int) -> Money:
        """Return `count` times the amount."""
        return Money(micros=self.micros * count, currency=self.currency)

    def for_seconds(self, seconds: float) -> Money:
        """Return what `seconds` cost where this is the price of an hour, rounded up."""
        micros = math.ceil(Fraction(seconds) * self.micros / _SECONDS_PER_HOUR)
        return Money(micros=micros, currency=self.currency)


def total(amounts: list[Money | None]) -> Money | None:
    """Return the sum, or None where there is none: nothing to add, one unknown, two currencies."""
    known = [amount for amount in amounts if amount is not None]
    if not known or len(known) < len(amounts) or len({one.currency for one in known}) > 1:
        return None
    return Money(micros=sum(one.micros for one in known), currency=known[0].currency)
