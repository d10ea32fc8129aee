"""What pictures cost when a service draws them, a device does, or neither says."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from server.domain.budgets import EntryKind
from server.domain.errors import ProviderRefusedError
from server.domain.events import Event, Failed, Picture, Started
from server.domain.images import ImageFormat, ResolvedRequest
from server.domain.jobs import Job, JobState
from server.domain.money import Money
from server.domain.rates import Rates
from server.domain.streams import StateEvent
from server.domain.tariff import Tariff
from server.services.active import ActiveJob, ActiveJobs
from server.services.dispatcher import Dispatcher
from server.services.runner import Runner
from server.store.store import Store
from tests.store.spending import a_key, micros, recomputed, state_of
from tests.store.values import NOW, a_job, a_recipe, new_id

TARIFF = Tariff(device_hour=Money(micros=3_600_000))  # 1000 micro-units a second
REFUSED = "refused"


class Service:
    """Draws each picture for its price; `costs` gives them in turn, None: it does not say.

    Beyond the last price it waits until it may refuse.
    """

    id = "far-away"
    device = "remote"
    is_ready = True
    loaded_models: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.costs: list[int | None] = []
        self.device_seconds = 0.0
        self.may_refuse = asyncio.Event()
        self._number = itertools.count()

    async def generate(self, request: ResolvedRequest) -> AsyncGenerator[Event, None]:
        number = next(self._number)
        yield Started(0, 1)
        if number >= len(self.costs):
            await self.may_refuse.wait()
            yield Failed(0, ProviderRefusedError(REFUSED))
            return
        cost = self.costs[number]
        yield Picture(
            index=0,
            data=f"picture {number} of {request.seed}".encode(),
            format=ImageFormat.PNG,
            width=64,
            height=64,
            recipe=a_recipe(),
            duration_seconds=1.0,
            device_seconds=self.device_seconds,
            cost=None if cost is None else micros(cost),
        )


class House:
    """A dispatcher over a real store, with one member that draws for money."""

    def __init__(self, store: Store) -> None:
        self.store, self.service, self.active = store, Service(), ActiveJobs()
        self.kept = asyncio.Event()
        store.on_event = self._hear
        rates = Rates()
        self.runner = Runner(store, self.active, rates, new_id, lambda: NOW, "epoch", TARIFF)
        self.dispatcher = Dispatcher([self.service], self.active, self.runner, rates)

    def _hear(self, event: StateEvent) -> None:
        if event.type == "picture":
            self.kept.set()

    async def submit(self, key: str, quote: int, **changes: Any) -> ActiveJob:
        resolved = a_job().resolved.model_copy(update={"num_images": 3, **changes})
        job = a_job(key_id=key, resolved=resolved)
        row, _ = await self.store.jobs.add(
            job,
            idempotency_key=None,
            request_hash="h",
            quote=TARIFF.quote_remote("far-away", micros(quote)),
        )
        active = self.active.add(row)
        self.dispatcher.push(active)
        return active

    async def ended(self, active: ActiveJob) -> Job:
        async with asyncio.timeout(20):
            await active.ended.wait()
        row = await self.store.jobs.get(active.job.id)
        assert row is not None
        return row


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await Store.open(f"sqlite:///{tmp_path / 'greenroom.db'}", str(tmp_path / "blobs"))
    house = House(store)
    house.dispatcher.start()
    yield house
    await house.dispatcher.stop()
    await store.close()


async def test_a_service_is_paid_what_it_asked_and_the_rest_is_given_back(house: House) -> None:
    key = await a_key(house.store, 1_000_000)
    house.service.costs = [39_000, 39_000, 45_000]
    row = await house.ended(await house.submit(key, 150_000))
    assert (row.state, row.cost) == (JobState.SUCCEEDED, micros(123_000))
    images = await house.store.images.of_job(row.id)
    assert [image.cost for image in images] == [micros(39_000), micros(39_000), micros(45_000)]
    assert await state_of(house.store, key) == (0, 123_000, 877_000)
    assert house.runner.tally.micros["scribble-xl", "far-away", "USD"] == 123_000


async def test_of_a_job_that_fails_halfway_only_what_came_is_paid(house: House) -> None:
    key = await a_key(house.store, 1_000_000)
    house.service.costs = [39_000]
    active = await house.submit(key, 150_000)
    async with asyncio.timeout(20):
        await house.kept.wait()
    house.service.may_refuse.set()
    assert (await house.ended(active)).state is JobState.FAILED
    assert await state_of(house.store, key) == (0, 39_000, 961_000)
    assert await recomputed(house.store, key) == (0, 39_000)


async def test_of_a_cancelled_job_only_what_came_is_paid(house: House) -> None:
    key = await a_key(house.store, 1_000_000)
    house.service.costs = [39_000]
    active = await house.submit(key, 150_000)
    async with asyncio.timeout(20):
        await house.kept.wait()
    await house.dispatcher.cancel(active, JobState.CANCELLED, None)
    assert await state_of(house.store, key) == (0, 39_000, 961_000)


async def test_a_service_that_says_no_cost_takes_its_share_of_what_was_held(house: House) -> None:
    key = await a_key(house.store, 1_000_000)
    house.service.costs = [None, None, None]
    row = await house.ended(await house.submit(key, 150_000))
    assert row.cost is None
    assert await state_of(house.store, key) == (0, 150_000, 850_000)
    kinds = {line.kind for line in await house.store.usage.entries(row.id)}
    assert kinds == {EntryKind.RESERVE, EntryKind.ASSUMED, EntryKind.RELEASE}


@pytest.mark.parametrize("budget", [None, 1_000_000])
async def test_a_device_is_paid_for_its_seconds(house: House, budget: int | None) -> None:
    key = await a_key(house.store, budget)
    house.service.costs, house.service.device_seconds = [None], 2.5
    row = await house.ended(await house.submit(key, 10_000, num_images=1))
    assert row.cost == micros(2500)
    if budget is not None:
        assert await state_of(house.store, key) == (0, 2500, budget - 2500)
