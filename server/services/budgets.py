"""What a request would cost, what a picture did cost, and whose budget it comes out of."""

from __future__ import annotations

from datetime import UTC

from server.domain.budgets import Charge, Entry, EntryKind
from server.domain.events import Picture
from server.domain.gallery import StoredImage
from server.domain.jobs import Job
from server.domain.keys import Caller
from server.domain.models import Price
from server.domain.money import Money
from server.domain.rates import Rates
from server.domain.routes import Member, MemberKind
from server.domain.tariff import Certainty, Quote, Tariff, dearest
from server.providers.declared import price_of_one
from server.services.remote_models import Remote
from server.services.remotes import Remotes


class Budgets:
    """The prices of this server and of its connections, beside what devices were measured to do."""

    def __init__(self, tariff: Tariff, rates: Rates, remotes: Remotes) -> None:
        self.tariff = tariff
        self._rates = rates
        self._remotes = remotes

    def expected(self, job: Job) -> Quote:
        """Return what `job` costs if all goes well, and in words what it may cost at most."""
        quotes = self._quotes(job)
        first = next(iter(quotes.values()))
        worst = dearest(list(quotes.values()))
        if worst.cost is None or worst == first:
            return first
        name = next(name for name, quote in quotes.items() if quote is worst)
        said = f"{first.basis}; {worst.cost} if '{name}' draws it"
        return first.model_copy(update={"basis": said})

    def affordable(self, job: Job, caller: Caller) -> Job:
        """Return `job` without members whose price nobody knows, where a budget has to pay."""
        quotes = self._quotes(job)
        known = {name for name, q in quotes.items() if q.certainty is not Certainty.UNKNOWN}
        if not caller.has_budget or not known or len(known) == len(quotes):
            return job

        def checked(member: Member) -> Member:
            if not member.is_allowed or member.name in known:
                return member
            detail = f"a key with a budget does not pay it: the cost is {quotes[member.name].basis}"
            return member.model_copy(update={"code": "no-price", "detail": detail})

        members = tuple(map(checked, job.way.members))
        return job.model_copy(update={"route": job.way.model_copy(update={"members": members})})

    def to_reserve(self, job: Job, caller: Caller) -> Quote | None:
        """Return what `job` has to reserve: what the dearest of its members would ask.

        None: the caller's key has no budget.
        """
        if not caller.has_budget:
            return None
        quotes = list(self._quotes(job).values())
        worst = dearest(quotes)
        listed = [quote for quote in quotes if quote.certainty is Certainty.KNOWN]
        if worst.certainty is not Certainty.AFTERWARDS or not listed:
            return worst
        return worst.model_copy(update={"cost": dearest(listed).cost})

    async def cheapest(self) -> tuple[str, Money] | None:
        """Return the lowest listed price of a picture of all connections, and whose it is."""
        found = [
            (price.cost.micros, remote.name, price.cost)
            for remote in self._remotes.all()
            if remote.provider is not None and not remote.is_free
            for price in _listed(remote)
            if price.cost.currency == self.tariff.currency
        ]
        if not found:
            return None
        _, name, cost = min(found)
        return name, cost

    def _quotes(self, job: Job) -> dict[str, Quote]:
        allowed = [member for member in job.way.members if member.is_allowed]
        return {member.name: self._quote(job, member) for member in allowed}

    def _quote(self, job: Job, member: Member) -> Quote:
        count = job.resolved.num_images
        if member.kind is MemberKind.LOCAL:
            return self.tariff.quote_local(self._rates.seconds(member.name, member.flops), count)
        remote = self._remotes.get(member.name)
        if member.is_free:
            return self.tariff.quote_free(member.name)
        if remote is None or remote.info is None or remote.info.remote is None:
            return self.tariff.quote_remote(member.name, None)
        one = price_of_one(remote.info, member.resolved or job.resolved)
        cost = None if one is None else one.times(count)
        return self.tariff.quote_remote(member.name, cost, remote.info.remote.priced_on)


def _listed(remote: Remote) -> tuple[Price, ...]:
    terms = None if remote.info is None else remote.info.remote
    return () if terms is None else terms.prices


def _is_ours(job: Job, image: StoredImage) -> bool:
    return job.way.has(image.served_by) and job.way.member(image.served_by).is_free


def charge(job: Job, image: StoredImage, picture: Picture, currency: str) -> Charge:
    """Return the ledger's line for a picture of `job`; `image.cost` is what it cost.

    A service's picture whose cost nobody says takes its share of what was reserved. Without a
    reservation nothing is assumed, nor of a picture drawn here, which has no price then.
    """
    kind, micros = EntryKind.UNPRICED, 0
    if image.cost is not None:
        kind, micros, currency = EntryKind.CHARGE, image.cost.micros, image.cost.currency
    elif job.hold is not None and picture.device_seconds <= 0 and not _is_ours(job, image):
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
