"""A process that ends in the middle of a route: nothing is lost, nothing is drawn twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from server.domain.connections import ProviderKind
from server.domain.errors import ProviderUnreachableError
from server.domain.jobs import JobState
from server.services.views import JobView
from tests.services.chain_house import ANA, MODEL, open_house
from tests.services.members import Painter


async def end_in_mid_call(folder: Path, models: Path, *painters: Painter, **request: Any) -> str:
    """Submit a job and end the house while the first painter draws, as a kill would leave it."""
    painters[0].may_draw.clear()
    async with open_house(folder, models, *painters) as house:
        await house.chains.put(
            painters[0].connection.name, [p.connection.name for p in painters[1:]]
        )
        job = await house.submit(model=painters[0].connection.name, **request)
        await painters[0].begun.wait()
        assert [line.outcome.value for line in (await house.generation.job(job.id, ANA)).tried] == [
            "begun"
        ]
    painters[0].may_draw.set()
    return job.id


async def come_back(folder: Path, models: Path, job_id: str, *painters: Painter) -> JobView:
    async with open_house(folder, models, *painters) as house:
        return await house.end(job_id)


async def test_a_call_that_costs_is_not_made_again(tmp_path: Path, scribble_models: Path) -> None:
    first, second = Painter("first"), Painter("second")
    job_id = await end_in_mid_call(tmp_path / "data", scribble_models, first, second)
    job = await come_back(tmp_path / "data", scribble_models, job_id, first, second)
    assert job.error is not None
    assert job.state is JobState.FAILED
    assert "may have been billed" in job.error.detail
    assert (len(first.asked), second.asked) == (1, [])
    (line,) = job.tried
    assert (line.outcome.value, line.may_have_billed) == ("failed", True)


async def test_after_it_a_member_that_is_free_draws(tmp_path: Path, scribble_models: Path) -> None:
    first, friend = Painter("first"), Painter("friend", is_trusted=True)
    job_id = await end_in_mid_call(tmp_path / "data", scribble_models, first, friend)
    job = await come_back(tmp_path / "data", scribble_models, job_id, first, friend)
    assert (job.state, job.images[0].served_by) == (JobState.SUCCEEDED, "friend")
    assert len(first.asked) == 1


async def test_a_service_that_knows_its_calls_is_asked_again_with_the_same_key(
    tmp_path: Path, scribble_models: Path
) -> None:
    peer = Painter("peer", provider=ProviderKind.GREENROOM)
    folder = tmp_path / "data"
    job_id = await end_in_mid_call(folder, scribble_models, peer, num_images=3)
    job = await come_back(folder, scribble_models, job_id, peer)
    assert (job.state, len(job.images)) == (JobState.SUCCEEDED, 3)
    first, again = peer.asked
    assert first == again
    assert peer.keys[0] == peer.keys[1] is not None
    assert [(line.member, line.outcome.value) for line in job.tried] == [("peer", "drew")]


async def test_what_was_tried_before_is_not_tried_again(
    tmp_path: Path, scribble_models: Path
) -> None:
    first, second = Painter("first"), Painter("second", is_trusted=True)
    first.fails.append(ProviderUnreachableError("no answer"))
    second.may_draw.clear()
    async with open_house(tmp_path / "data", scribble_models, first, second) as house:
        await house.chains.put("first", ["second"])
        job = await house.submit(model="first")
        await second.begun.wait()
    second.may_draw.set()
    ended = await come_back(tmp_path / "data", scribble_models, job.id, first, second)
    assert (ended.state, ended.images[0].served_by) == (JobState.SUCCEEDED, "second")
    assert len(first.asked) == 1


async def test_a_local_job_waits_for_its_turn_again(tmp_path: Path, scribble_models: Path) -> None:
    painter = Painter("atelier")
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        await house.chains.put(MODEL, ["atelier"])
        house.easel.may_draw.clear()
        job = await house.submit()
        await house.easel.begun.wait()
    ended = await come_back(tmp_path / "data", scribble_models, job.id, painter)
    assert (ended.state, ended.images[0].served_by) == (JobState.SUCCEEDED, "local-cpu")
    assert painter.asked == []


@pytest.mark.parametrize("model", [MODEL, "atelier"])
async def test_an_ended_job_keeps_its_route_and_record(
    model: str, tmp_path: Path, scribble_models: Path
) -> None:
    painter = Painter("atelier")
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        before = await house.draw(model=model)
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        after = await house.generation.job(before.id, ANA)
    assert (after.route, after.tried, after.fallback) == (
        before.route,
        before.tried,
        before.fallback,
    )


async def test_a_call_that_costs_may_end_before_a_server_that_is_stopped(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = Painter("atelier")
    painter.may_draw.clear()
    async with open_house(tmp_path / "data", scribble_models, painter, grace_seconds=20) as house:
        job = await house.submit(model="atelier", num_images=2)
        await painter.begun.wait()
        asyncio.get_running_loop().call_later(0.2, painter.may_draw.set)
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        ended = await house.generation.job(job.id, ANA)
        assert (ended.state, len(ended.images)) == (JobState.SUCCEEDED, 2)
    assert len(painter.asked) == 1
