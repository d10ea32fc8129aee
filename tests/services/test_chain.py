"""Who draws when the first cannot, and what the record says of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.domain.errors import (
    AppError,
    GenerationFailedError,
    GpuMemoryError,
    ModelUnavailableError,
    ProviderKeyError,
    ProviderModelGoneError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRefusedError,
    ProviderRequestError,
    ProviderUnreachableError,
)
from server.domain.images import ImageRequest
from server.domain.jobs import JobState
from server.domain.keys import Caller, Scope
from server.domain.routes import Outcome
from server.services.views import JobView
from tests.services.chain_house import ANA, MODEL, House, open_house
from tests.services.members import Painter, painted

BO = Caller(key_id="other", owner="bo", scopes=frozenset({Scope.GENERATE}))
BILLED = ProviderUnreachableError("cut in the middle", may_have_billed=True)


def served(job: JobView) -> list[str]:
    return [image.served_by for image in job.images]


def tried(job: JobView) -> list[tuple[str, str, str | None]]:
    return [(line.member, line.outcome.value, line.code) for line in job.tried]


async def test_a_connection_draws_what_names_it(tmp_path: Path, scribble_models: Path) -> None:
    painter = Painter("atelier")
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        job = await house.draw(model="atelier", num_images=3)
        assert (job.state, served(job)) == (JobState.SUCCEEDED, ["atelier"] * 3)
        assert [image.seed for image in job.images] == [7, 8, 9]
        assert tried(job) == [("atelier", "drew", None)]
    (call,) = painter.asked  # all pictures in one
    assert (call.num_images, call.seed) == (3, 7)


async def test_the_local_model_draws_while_it_can_and_nothing_is_noted(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = Painter("atelier")
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        await house.chains.put(MODEL, ["atelier"])
        job = await house.draw(num_images=2)
        assert (served(job), job.tried) == (["local-cpu"] * 2, ())
        assert [(m.name, m.is_allowed) for m in job.route] == [(MODEL, True), ("atelier", True)]
    assert painter.asked == []


MOVING: list[AppError] = [
    GpuMemoryError("no room"),
    ModelUnavailableError("its files are gone"),
    ProviderUnreachableError("no answer"),
    ProviderRateLimitedError("wait", retry_after_seconds=30),
    ProviderModelGoneError("no such model"),
    ProviderKeyError("wrong key"),
    ProviderQuotaError("nothing left"),
]
STAYING: list[AppError] = [
    ProviderRefusedError("we do not draw this"),
    ProviderRequestError("what is this"),
    GenerationFailedError("a bug"),
]


@pytest.mark.parametrize("error", MOVING, ids=lambda e: e.code)
async def test_a_member_that_is_broken_busy_or_gone_moves_on(
    error: AppError, tmp_path: Path, scribble_models: Path
) -> None:
    first, second = Painter("first"), Painter("second")
    first.fails.append(error)
    async with open_house(tmp_path / "data", scribble_models, first, second) as house:
        await house.chains.put("first", ["second"])
        job = await house.draw(model="first")
        assert (job.state, served(job)) == (JobState.SUCCEEDED, ["second"])
        assert tried(job) == [("first", "failed", error.code), ("second", "drew", None)]
        assert job.tried[0].detail == error.detail
        assert job.images[0].seed == 7
        assert await file_of(house, job) == painted(second.asked[0], 0)
    assert second.asked[0].seed == first.asked[0].seed


async def file_of(house: House, job: JobView) -> bytes:
    return await house.store.blobs.get(job.images[0].sha256, "png")


@pytest.mark.parametrize("error", STAYING, ids=lambda e: e.code)
async def test_a_refusal_and_a_wrong_request_move_nowhere(
    error: AppError, tmp_path: Path, scribble_models: Path
) -> None:
    first, second = Painter("first"), Painter("second")
    first.fails.append(error)
    async with open_house(tmp_path / "data", scribble_models, first, second) as house:
        await house.chains.put("first", ["second"])
        job = await house.draw(model="first")
        assert job.error is not None
        assert (job.state, job.error.code) == (JobState.FAILED, error.code)
        assert tried(job) == [("first", "failed", error.code)]
    assert second.asked == []


async def test_a_gpu_without_room_hands_all_that_waits_to_the_connection_in_one_call(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = Painter("atelier")
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        await house.chains.put(MODEL, ["atelier"])
        house.easel.is_ready = False
        submitted = await house.submit(num_images=4)
        house.easel.fails += [GpuMemoryError("no room")] * 4
        house.easel.may_draw.clear()
        house.easel.is_ready = True
        house.dispatcher.wake()
        await house.easel.begun.wait()
        house.easel.may_draw.set()
        job = await house.end(submitted.id)
        assert served(job) == ["atelier"] * 4
        assert [image.seed for image in job.images] == [7, 8, 9, 10]
        noted = [line for line in job.tried if line.outcome is Outcome.FAILED]
        assert sorted(p for line in noted for p in line.pictures) == [0, 1, 2, 3]
    assert sum(call.num_images for call in painter.asked) == 4


async def test_what_came_of_a_call_stays_and_only_the_rest_moves_on(
    tmp_path: Path, scribble_models: Path
) -> None:
    first, second = Painter("first"), Painter("second")
    first.fails.append(ProviderRateLimitedError("wait"))
    first.pictures_before_failing = 2
    async with open_house(tmp_path / "data", scribble_models, first, second) as house:
        await house.chains.put("first", ["second"])
        job = await house.draw(model="first", num_images=4)
        assert served(job) == ["first", "first", "second", "second"]
        assert [image.seed for image in job.images] == [7, 8, 9, 10]
        lines = [(line.member, line.outcome.value, line.pictures) for line in job.tried]
        assert lines == [
            ("first", "failed", (2, 3)),
            ("first", "drew", (0, 1)),
            ("second", "drew", (2, 3)),
        ]


async def test_after_a_call_that_may_have_been_billed_nobody_who_costs_is_asked(
    tmp_path: Path, scribble_models: Path
) -> None:
    first, second = Painter("first"), Painter("second")
    first.fails.append(BILLED)
    async with open_house(tmp_path / "data", scribble_models, first, second) as house:
        await house.chains.put("first", ["second"])
        job = await house.draw(model="first")
        assert job.error is not None
        assert (job.state, job.error.code) == (JobState.FAILED, BILLED.code)
        assert "may have been billed" in job.error.detail
        assert job.tried[0].may_have_billed
    assert (len(first.asked), second.asked) == (1, [])


@pytest.mark.parametrize("free", ["trusted", MODEL])
async def test_after_a_call_that_may_have_been_billed_those_who_cost_nothing_are_asked(
    free: str, tmp_path: Path, scribble_models: Path
) -> None:
    first, second = Painter("first"), Painter("second")
    trusted = Painter("trusted", is_trusted=True)
    first.fails.append(BILLED)
    async with open_house(tmp_path / "data", scribble_models, first, second, trusted) as house:
        await house.chains.put("first", ["second", free])
        job = await house.draw(model="first")
        assert job.state is JobState.SUCCEEDED
        assert served(job) == ["trusted" if free == "trusted" else "local-cpu"]
    assert second.asked == []


async def test_a_job_fails_when_everybody_was_asked_and_tells_of_each(
    tmp_path: Path, scribble_models: Path
) -> None:
    first, second = Painter("first"), Painter("second")
    first.fails.append(ProviderUnreachableError("no answer"))
    second.fails.append(ProviderQuotaError("nothing left"))
    async with open_house(tmp_path / "data", scribble_models, first, second) as house:
        await house.chains.put("first", ["second"])
        job = await house.draw(model="first")
        assert job.error is not None
        assert job.error.code == "provider-quota"
        assert [code for _, _, code in tried(job)] == ["provider-unreachable", "provider-quota"]


async def test_cancelling_closes_the_call_and_the_record_says_so(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = Painter("atelier")
    painter.may_draw.clear()
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        job = await house.submit(model="atelier")
        await painter.begun.wait()
        assert (await house.generation.job(job.id, ANA)).tried[0].outcome is Outcome.BEGUN
        active = house.active.get(job.id)
        assert active is not None
        under_way = tuple(active.tasks)
        assert (await house.generation.cancel(job.id, ANA)).state is JobState.CANCELLED
        await asyncio.wait(under_way)
        ended = await house.generation.job(job.id, ANA)
        assert ended.tried[0].outcome is Outcome.CANCELLED
        assert painter.cancelled == 1


async def test_owners_share_a_connection_fairly_and_its_limit_holds(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = Painter("atelier", concurrency=1)
    painter.may_draw.clear()
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        jobs = [await house.submit(model="atelier", seed=n) for n in range(4)]
        await painter.begun.wait()
        request = ImageRequest(prompt="a hen", model="atelier", seed=99)
        late = await house.generation.submit(request, BO)
        assert len(painter.asked) == 1
        assert late.place is not None
        painter.may_draw.set()
        for job in jobs:
            await house.end(job.id)
        await house.generation.wait(late.id, BO, 20)
    assert [call.seed for call in painter.asked].index(99) <= 2  # not behind all of ana's
