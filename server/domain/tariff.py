"""What pictures cost: prices that the owner of this server has set, and those of others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from enum import IntEnum
from fractions import Fraction

from server.domain.events import Picture
from server.domain.images import Frozen
from server.domain.money import Currency, Money

_NOT_PRICED = "not priced: GREENROOM_GPU_PRICE_PER_HOUR is not set"
_NOT_MEASURED = "not known before the first picture: this model was not measured here"


class Certainty(IntEnum):
    """How well a cost is known beforehand; the greater, the less."""

    FREE = 0  # nobody has put a price on it: it costs a budget nothing
    KNOWN = 1
    AFTERWARDS = 2  # it has a price, and the first picture tells how much of it is needed
    UNKNOWN = 3  # somebody else will ask for money, and has not said how much


class Quote(Frozen):
    """What a request would cost.

    Attributes:
        certainty: how well that is known.
        currency: this server's; budgets pay nothing else.
        cost: of all its pictures; None: not known. A service may ask it in another currency.
            With AFTERWARDS it is what another member of the chain would ask.
        basis: in words, what it rests on.
    """

    certainty: Certainty
    currency: Currency
    cost: Money | None
    basis: str


class Tariff(Frozen):
    """The prices of this server, all in one currency.

    Attributes:
        currency: of prices and budgets.
        device_hour: an hour of a device here; None: not priced.
        credit: one credit; None: money is not shown as credits.
        remote_picture: what a picture would have cost elsewhere; None: nothing to compare with.
    """

    currency: Currency = "USD"
    device_hour: Money | None = None
    credit: Money | None = None
    remote_picture: Money | None = None

    def quote_local(self, seconds: float | None, num_images: int) -> Quote:
        """Return what `num_images` pictures that take `seconds` in all cost on a device here."""
        if self.device_hour is None:
            return self._quote(Certainty.FREE, None, _NOT_PRICED)
        if seconds is None:
            return self._quote(Certainty.AFTERWARDS, None, _NOT_MEASURED)
        each = self.device_hour.for_seconds(seconds / num_images)
        basis = f"{seconds:.3g} s of a device, as measured here, at {self.device_hour} an hour"
        return self._quote(Certainty.KNOWN, each.times(num_images), basis)

    def quote_free(self, name: str) -> Quote:
        """Return what a service of our own people asks: nothing of a budget here."""
        return self._quote(Certainty.FREE, None, f"not priced: '{name}' is one of our own")

    def quote_remote(self, name: str, cost: Money | None, priced_on: date | None = None) -> Quote:
        """Return what the service `name` asks by its price list.

        Args:
            name: as requests call it.
            cost: of all pictures; None: the list does not say.
            priced_on: the day of the list.
        """
        if cost is None:
            basis = f"not known: the price list of '{name}' does not say"
            return self._quote(Certainty.UNKNOWN, None, basis)
        basis = f"the price list of '{name}'" + (f" of {priced_on}" if priced_on else "")
        if cost.currency != self.currency:
            return self._quote(Certainty.UNKNOWN, cost, f"{basis}, which is not in {self.currency}")
        return self._quote(Certainty.KNOWN, cost, basis)

    def cost_of(self, picture: Picture) -> Money | None:
        """Return what a drawn picture really cost; None: not priced, or not known."""
        if picture.cost is not None:
            return picture.cost
        if self.device_hour is None or picture.device_seconds <= 0:
            return None
        return self.device_hour.for_seconds(picture.device_seconds)

    def credits(self, cost: Money | None, num_images: int = 1) -> int | None:
        """Return credits for `num_images` pictures of together `cost`.

        One picture's credits are rounded up to a whole one, then multiplied by the count: two
        pictures are twice the credits of one. None: no credits here, or the cost is not known.
        """
        if self.credit is None or cost is None or cost.currency != self.credit.currency:
            return None
        return num_images * math.ceil(Fraction(cost.micros, num_images * self.credit.micros))

    def _quote(self, certainty: Certainty, cost: Money | None, basis: str) -> Quote:
        return Quote(certainty=certainty, currency=self.currency, cost=cost, basis=basis)


def dearest(quotes: Sequence[Quote]) -> Quote:
    """Return the quote to be ready for, where any of several members may draw: the worst."""
    return max(quotes, key=lambda q: (q.certainty, 0 if q.cost is None else q.cost.micros))
