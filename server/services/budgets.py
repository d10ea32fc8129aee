"""What a request would cost, what a picture did cost, and whose budget it comes out of."""

from __future__ import annotations

from datetime import UTC

from server.domain.budgets import Charge, Entry, EntryKind
from server.domain.events import Picture
from server.domain.gallery import StoredImage
from server.domain.jobs import Job
from server.domain.keys import Caller
from server.domain.rates import Rates
from server.domain.tariff import Quote, Tariff


class Budgets:
    """The prices of this server, beside what its devices were measured to do."""

    def __init__(self, tariff: Tariff, rates: Rates) -> None:
        self.tariff = tariff
        self._rates = rates

    def local(self, job: Job) -> Quote:
        """Return what `job` costs on a device here."""
        seconds = self._rates.seconds(job.resolved.model, job.flops)
        return self.tariff.quote_local(seconds, job.resolved.num_images)

    def to_reserve(self, quote: Quote, caller: Caller) -> Quote | None:
        """Return what a job of `caller` has to reserve; None: its key has no budget."""
        return quote if caller.has_budget else None


def charge(job: Job, image: StoredImage, picture: Picture, currency: str) -> Charge:
    """Return the ledger's line for a picture of `job`; `image.cost` is what it cost.

    A service's picture whose cost nobody says takes its share of what was reserved. Without a
    reservation nothing is assumed, nor of a picture drawn here, which has no price then.
    """
    kind, micros = EntryKind.UNPRICED, 0
    if image.cost is not None:
        kind, micros, currency = EntryKind.CHARGE, image.cost.micros, image.cost.currency
    elif job.hold is not None and picture.device_seconds <= 0:
        amount = job.hold.amount
        kind, currency = EntryKind.ASSUMED, amount.currency
        micros = amount.micros // job.resolved.num_images
    line = Entry(
        job_id=job.id,
        kind=kind,
        index=image.index,
        key_id=job.key_id,
        owner=job.owner,
        image_id=image.id,
        model=image.model,
        served_by=image.served_by,
        micros=micros,
        currency=currency,
        device_seconds=picture.device_seconds,
        day=f"{image.created_at.astimezone(UTC):%Y-%m-%d}",
        at=image.created_at,
    )
    return Charge(entry=line, hold=job.hold)
