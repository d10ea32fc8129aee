"""Keys with budgets, jobs that spend them, and a second way to add the ledger up."""

from __future__ import annotations

import secrets
from collections import Counter
from typing import Any

from server.domain.budgets import EntryKind, month_of
from server.domain.events import Picture
from server.domain.gallery import StoredImage
from server.domain.jobs import Job
from server.domain.keys import ApiKey, Scope
from server.domain.money import Money
from server.domain.tariff import Certainty, Quote
from server.services.budgets import charge
from server.store.store import Store
from tests.store.values import NOW, a_job, an_image, new_id

MONTH = month_of(NOW)


def micros(amount: int) -> Money:
    return Money(micros=amount)


def quoted(amount: int) -> Quote:
    return Quote(certainty=Certainty.KNOWN, currency="USD", cost=micros(amount), basis="a test")


async def a_key(store: Store, budget: int | None) -> str:
    """Make a key whose month may cost `budget` micro-units and return its id."""
    key = ApiKey(
        id=new_id(),
        name="a key",
        owner="ana",
        scopes=(Scope.GENERATE,),
        prefix="gr-0000",
        budget=None if budget is None else micros(budget),
        created_at=NOW,
        last_used_at=None,
        revoked_at=None,
    )
    await store.keys.add(key, secrets.token_hex())
    return key.id


async def submit(store: Store, key: str, quote: int | Quote, **changes: Any) -> Job:
    """Add a job of four pictures that would cost so much; its row."""
    job = a_job(key_id=key, **changes)
    asked = quoted(quote) if isinstance(quote, int) else quote
    row, _ = await store.jobs.add(job, idempotency_key=None, request_hash="h", quote=asked)
    return row


async def keep(
    store: Store, job: Job, index: int, *, cost: int | Money | None, seconds: float = 0.125
) -> StoredImage:
    """Keep a picture that cost so much; 0 seconds of a device: a service drew it."""
    data = f"{job.id} {index} {new_id()}".encode()
    amount = micros(cost) if isinstance(cost, int) else cost
    image = an_image(job, index, data, cost=amount)
    picture = Picture(
        index=0,
        data=data,
        format=image.format,
        width=64,
        height=64,
        recipe=image.recipe,
        duration_seconds=0.25,
        device_seconds=seconds,
    )
    kept, _ = await store.keep_image(image, data, charge(job, image, picture, "USD"))
    return kept


def drawn(job: Job) -> str:
    """The day on which a job's pictures were kept."""
    return f"{job.created_at:%Y-%m-%d}"


async def state_of(store: Store, key: str, month: str = MONTH) -> tuple[int, int, int]:
    """What is reserved, spent and left of a key's budget."""
    (state,) = await store.usage.budgets(month, [key])
    return state.reserved.micros, state.spent.micros, state.left.micros


async def recomputed(store: Store, key: str, month: str = MONTH) -> tuple[int, int]:
    """What is reserved and spent by the ledger alone; every ended job's lines must balance."""
    reserved = spent = 0
    for job in (await store.jobs.list("ana", cursor=None, limit=100_000)).items:
        lines = await store.usage.entries(job.id)
        sums: Counter[EntryKind] = Counter()
        for line in lines:
            sums[line.kind] += line.micros
        hold = next((line for line in lines if line.kind is EntryKind.RESERVE), None)
        if hold is None or hold.key_id != key or month_of(hold.at) != month:
            continue
        taken = sums[EntryKind.RESERVE] + sums[EntryKind.EXTRA]
        if not job.state.is_final:
            assert not {EntryKind.RELEASE, EntryKind.EXTRA, EntryKind.WAIVE} & sums.keys()
            reserved += taken
            continue
        pictures = sums[EntryKind.CHARGE] + sums[EntryKind.ASSUMED] + sums[EntryKind.LOST]
        assert taken + sums[EntryKind.WAIVE] == pictures + sums[EntryKind.RELEASE]
        spent += taken - sums[EntryKind.RELEASE]
    return reserved, spent
