"""Money: integer micro-units of a currency, never a float."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints

from server.domain.images import Frozen

MICROS = 1_000_000  # in one unit: 1 USD is 1,000,000 micros
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Money(Frozen):
    """An amount; of one currency, since amounts of two never add up.

    Attributes:
        micros: millionths of the currency's unit.
        currency: as ISO 4217 spells it.
    """

    micros: int = Field(ge=-(2**53), le=2**53)  # every JSON reader keeps these exact
    currency: Currency = "USD"

    def __add__(self, other: Self) -> Money:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")
        return Money(micros=self.micros + other.micros, currency=self.currency)

    def times(self, count: int) -> Money:
        """Return `count` times the amount."""
        return Money(micros=self.micros * count, currency=self.currency)
