"""What pictures cost when connections draw them, when devices do, and along a chain."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.domain.budgets import EntryKind
from server.domain.errors import (
    BudgetExceededError,
    GpuMemoryError,
    ProviderRefusedError,
)
from server.domain.images import Fallback, ImageRequest
from server.domain.jobs import JobState
from server.domain.keys import Caller, Scope
from server.domain.money import Money
from server.domain.tariff import Tariff
from tests.services.chain_house import ANA, MODEL, House, open_house
from tests.services.members import Painter
from tests.store.spending import a_key, micros, recomputed, state_of

PRICED = Tariff(device_hour=Money(micros=3_600_000))  # 1000 micro-units a second
LIMIT = 1_000_000


async def a_spender(house: House, budget: int = LIMIT) -> Caller:
    key = await a_key(house.store, budget)
    return Caller(key_id=key, owner="ana", scopes=frozenset({Scope.GENERATE}), has_budget=True)


def atelier(cost: int | None, listed: int | None) -> Painter:
    return Painter("atelier").asks(
        None if cost is None else micros(cost), listed=None if listed is None else micros(listed)
    )


async def test_a_service_is_paid_what_it_asked_and_the_rest_is_given_back(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = atelier(39_000, 45_000)
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        spender = await a_spender(house)
        painter.may_draw.clear()
        job = await house.submit(spender, model="atelier", num_images=3)
        assert await state_of(house.store, spender.key_id) == (135_000, 0, LIMIT - 135_000)
        painter.may_draw.set()
        ended = await house.end(job.id)
        assert (ended.state, ended.cost) == (JobState.SUCCEEDED, micros(117_000))
        assert [image.cost for image in ended.images] == [micros(39_000)] * 3
        assert await state_of(house.store, spender.key_id) == (0, 117_000, LIMIT - 117_000)
        assert house.runner.tally.micros["atelier", "atelier", "USD"] == 117_000


async def test_of_a_job_that_fails_halfway_only_what_came_is_paid(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = atelier(39_000, 45_000)
    painter.fails.append(ProviderRefusedError("not that"))
    painter.pictures_before_failing = 1
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        spender = await a_spender(house)
        job = await house.submit(spender, model="atelier", num_images=3)
        assert (await house.end(job.id)).state is JobState.FAILED
        assert await state_of(house.store, spender.key_id) == (0, 39_000, LIMIT - 39_000)
        assert await recomputed(house.store, spender.key_id) == (0, 39_000)


async def test_a_call_that_is_cancelled_under_way_is_paid_since_the_service_draws_it_all_the_same(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = atelier(39_000, 45_000)
    painter.may_draw.clear()
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        spender = await a_spender(house)
        job = await house.submit(spender, model="atelier")
        async with asyncio.timeout(20):
            await painter.begun.wait()
        await house.generation.cancel(job.id, spender)
        assert await state_of(house.store, spender.key_id) == (0, 45_000, LIMIT - 45_000)


async def test_a_service_that_says_no_cost_takes_its_share_of_what_was_held(
    tmp_path: Path, scribble_models: Path
) -> None:
    async with open_house(tmp_path / "data", scribble_models, atelier(None, 45_000)) as house:
        spender = await a_spender(house)
        job = await house.submit(spender, model="atelier", num_images=3)
        assert (await house.end(job.id)).cost is None
        assert await state_of(house.store, spender.key_id) == (0, 135_000, LIMIT - 135_000)
        kinds = {line.kind for line in await house.store.usage.entries(job.id)}
        assert kinds == {EntryKind.RESERVE, EntryKind.ASSUMED, EntryKind.RELEASE}


async def test_a_chain_reserves_what_its_dearest_member_asks_and_pays_who_drew(
    tmp_path: Path, scribble_models: Path
) -> None:
    first, second = (
        atelier(39_000, 39_000),
        Painter("studio").asks(micros(80_000), listed=micros(80_000)),
    )
    async with open_house(
        tmp_path / "data", scribble_models, first, second, tariff=PRICED
    ) as house:
        house.rates.learn(MODEL, 1e12, 0.001)
        house.easel.device_seconds = 0.25
        await house.chains.put(MODEL, ["atelier", "studio"])
        request = ImageRequest(prompt="a fox", model=MODEL, width=64, height=64, num_images=2)
        said = await house.generation.estimate(request, ANA)
        assert said.cost is not None
        assert said.cost.micros < 10_000
        assert "0.16 USD if 'studio' draws it" in said.cost_basis
        spender = await a_spender(house)
        house.easel.may_draw.clear()
        job = await house.submit(spender, num_images=2)
        assert await state_of(house.store, spender.key_id) == (160_000, 0, LIMIT - 160_000)
        house.easel.may_draw.set()
        ended = await house.end(job.id)
        assert [image.served_by for image in ended.images] == ["local-cpu"] * 2
        assert ended.cost == micros(500)  # a quarter of a second each
        assert await state_of(house.store, spender.key_id) == (0, 500, LIMIT - 500)

        house.easel.fails.extend([GpuMemoryError("full")] * 2)
        moved = await house.end((await house.submit(spender, num_images=2)).id)
        assert [image.served_by for image in moved.images] == ["atelier"] * 2
        assert moved.cost == micros(78_000)
        assert await state_of(house.store, spender.key_id) == (0, 78_500, LIMIT - 78_500)


async def test_a_budget_that_the_dearest_member_exceeds_is_said_before_any_cost(
    tmp_path: Path, scribble_models: Path
) -> None:
    async with open_house(tmp_path / "data", scribble_models, atelier(1, 45_000)) as house:
        await house.chains.put(MODEL, ["atelier"])
        spender = await a_spender(house, 44_999)
        with pytest.raises(BudgetExceededError, match=r"would cost 0\.045 USD"):
            await house.submit(spender)
        alone = await house.submit(spender, fallback=Fallback.NEVER)
        assert (await house.end(alone.id)).state is JobState.SUCCEEDED
        assert await state_of(house.store, spender.key_id) == (0, 0, 44_999)


async def test_a_member_whose_price_nobody_knows_is_passed_by_a_key_with_a_budget(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = atelier(5, None)
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        await house.chains.put(MODEL, ["atelier"])
        spender = await a_spender(house)
        job = await house.submit(spender)
        barred = [(member.name, member.code) for member in job.route if member.code]
        assert barred == [("atelier", "no-price")]
        assert (await house.end(job.id)).images[0].served_by == "local-cpu"
        with pytest.raises(BudgetExceededError, match="the price list of 'atelier' does not say"):
            await house.submit(spender, model="atelier")
        free = await house.draw(model="atelier")  # without a budget
        assert free.cost == micros(5)


async def test_a_peer_of_our_own_people_takes_nothing_of_a_budget(
    tmp_path: Path, scribble_models: Path
) -> None:
    peer = Painter("peer", is_trusted=True)
    async with open_house(tmp_path / "data", scribble_models, peer) as house:
        spender = await a_spender(house, 0)
        job = await house.submit(spender, model="peer")
        assert (await house.end(job.id)).state is JobState.SUCCEEDED
        assert await state_of(house.store, spender.key_id) == (0, 0, 0)


async def test_the_cheapest_listed_price_of_all_connections_is_what_is_compared_with(
    tmp_path: Path, scribble_models: Path
) -> None:
    dear, unknown = atelier(1, 45_000), Painter("studio")
    cheap = Painter("cellar").asks(None, listed=micros(30_000))
    async with open_house(tmp_path / "data", scribble_models, dear, unknown, cheap) as house:
        assert await house.budgets.cheapest() == ("cellar", micros(30_000))
    async with open_house(tmp_path / "other", scribble_models, unknown) as house:
        assert await house.budgets.cheapest() is None


async def test_what_is_known_only_afterwards_here_hides_no_price_of_the_chain(
    tmp_path: Path, scribble_models: Path
) -> None:
    async with open_house(
        tmp_path / "data", scribble_models, atelier(45_000, 45_000), tariff=PRICED
    ) as house:
        await house.chains.put(MODEL, ["atelier"])
        spender = await a_spender(house, 89_999)
        with pytest.raises(BudgetExceededError, match=r"may cost 0\.09 USD"):
            await house.submit(spender, num_images=2)
        house.easel.fails.append(GpuMemoryError("full"))
        moved = await house.end((await house.submit(spender)).id)
        assert moved.cost == micros(45_000)
        assert await state_of(house.store, spender.key_id) == (0, 45_000, 44_999)


async def test_an_estimate_is_of_whom_the_callers_budget_can_pay(
    tmp_path: Path, scribble_models: Path
) -> None:
    async with open_house(tmp_path / "data", scribble_models, atelier(5, None)) as house:
        await house.chains.put("atelier", [MODEL])
        spender = await a_spender(house)
        request = ImageRequest(prompt="a fox", model="atelier", width=64, height=64)
        said = await house.generation.estimate(request, spender)
        assert (said.model, said.served_by) == (MODEL, "local")
        assert [member.code for member in said.route] == ["no-price", None]
        job = await house.end((await house.submit(spender, model="atelier")).id)
        assert [image.served_by for image in job.images] == ["local-cpu"]
