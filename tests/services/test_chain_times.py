"""Deadlines, connections that rest, and workers that do not come back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from server.domain.errors import (
    ProviderKeyError,
    ProviderRateLimitedError,
    ProviderUnreachableError,
    WorkerDiedError,
)
from server.domain.jobs import JobState
from server.services.breaker import FAILURES, FIRST_REST_SECONDS, BreakerState
from server.services.dispatcher import WORKER_PATIENCE_SECONDS
from server.services.runner import MAX_DEATHS
from tests.services.chain_house import ANA, MODEL, open_house
from tests.services.members import Painter

AWAY = ProviderUnreachableError("no answer")


async def test_a_connection_that_is_earlier_draws_what_would_miss_its_deadline_here(
    tmp_path: Path, scribble_models: Path
) -> None:
    slow, fast = Painter("slow"), Painter("fast")
    async with open_house(tmp_path / "data", scribble_models, slow, fast) as house:
        await house.chains.put(MODEL, ["slow", "fast"])
        house.easel.is_ready = False
        house.rates.update({MODEL: 1.0})  # ages
        house.lanes.rates.update({"slow": 500.0, "fast": 2.0})
        job = await house.end((await house.submit(deadline_seconds=30)).id)
        assert job.images[0].served_by == "fast"
        late = {line.member: line for line in job.tried if line.outcome.value == "late"}
        assert set(late) == {MODEL, "slow"}
        forecast = late[MODEL].forecast
        assert forecast is not None
        assert forecast.own_seconds > forecast.left_seconds
        assert 29 < forecast.left_seconds <= 30
        assert (forecast.next_member, forecast.next_seconds) == ("fast", 2.0)
    assert slow.asked == []


async def test_what_is_done_in_time_here_stays_here(tmp_path: Path, scribble_models: Path) -> None:
    fast = Painter("fast")
    async with open_house(tmp_path / "data", scribble_models, fast) as house:
        await house.chains.put(MODEL, ["fast"])
        house.rates.update({MODEL: 1e-18})
        house.lanes.rates.update({"fast": 2.0})
        job = await house.draw(deadline_seconds=30)
        assert (job.images[0].served_by, job.tried) == ("local-cpu", ())


async def test_without_a_measurement_nothing_is_guessed(
    tmp_path: Path, scribble_models: Path
) -> None:
    fast = Painter("fast")
    async with open_house(tmp_path / "data", scribble_models, fast) as house:
        await house.chains.put(MODEL, ["fast"])
        assert (await house.draw(deadline_seconds=30)).images[0].served_by == "local-cpu"


async def test_a_connection_that_is_later_still_is_no_help(
    tmp_path: Path, scribble_models: Path
) -> None:
    slow = Painter("slow")
    async with open_house(tmp_path / "data", scribble_models, slow) as house:
        await house.chains.put(MODEL, ["slow"])
        house.rates.update({MODEL: 1.0})
        house.lanes.rates.update({"slow": 1e30})
        job = await house.draw(deadline_seconds=30)
        assert (job.images[0].served_by, job.tried) == ("local-cpu", ())


async def test_a_job_that_becomes_late_while_it_waits_moves_then(
    tmp_path: Path, scribble_models: Path
) -> None:
    fast = Painter("fast")
    async with open_house(tmp_path / "data", scribble_models, fast) as house:
        await house.chains.put(MODEL, ["fast"])
        house.easel.is_ready = False
        job = await house.submit(deadline_seconds=60)
        assert job.tried == ()
        house.rates.update({MODEL: 1.0})  # the first picture of this model was measured
        ended = await house.end(job.id)
        assert ended.images[0].served_by == "fast"
        (late, _) = ended.tried
        assert late.forecast is not None
        assert late.forecast.next_seconds is None  # it never drew before
        assert "has not drawn before" in str(late.detail)


async def test_the_late_draw_after_all_when_nobody_else_can(
    tmp_path: Path, scribble_models: Path
) -> None:
    fast = Painter("fast")
    fast.fails.append(AWAY)
    async with open_house(tmp_path / "data", scribble_models, fast) as house:
        await house.chains.put(MODEL, ["fast"])
        house.rates.update({MODEL: 1.0})
        house.lanes.rates.update({"fast": 2.0})
        job = await house.draw(deadline_seconds=30)
        assert (job.state, job.images[0].served_by) == (JobState.SUCCEEDED, "local-cpu")
        assert [line.outcome.value for line in job.tried] == ["late", "failed"]


async def test_a_connection_that_rests_is_skipped_by_those_who_have_another(
    tmp_path: Path, scribble_models: Path
) -> None:
    first, second = Painter("first"), Painter("second")
    first.fails += [AWAY] * FAILURES
    async with open_house(tmp_path / "data", scribble_models, first, second) as house:
        await house.chains.put("first", ["second"])
        for _ in range(FAILURES):
            await house.draw(model="first")
        assert house.lanes.lane("first").breaker.state is BreakerState.OPEN
        job = await house.draw(model="first")
        assert job.images[0].served_by == "second"
        assert (job.tried[0].outcome.value, job.tried[0].code) == ("skipped", AWAY.code)
        assert "rests for another" in str(job.tried[0].detail)
        assert len(first.asked) == FAILURES
        house.seconds_ahead += FIRST_REST_SECONDS
        assert (await house.draw(model="first")).images[0].served_by == "first"
        assert house.lanes.lane("first").breaker.state is BreakerState.CLOSED


async def test_one_probe_goes_first_and_the_others_wait_for_it(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = Painter("atelier")
    painter.fails += [AWAY] * FAILURES
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        for _ in range(FAILURES):
            assert (await house.draw(model="atelier")).state is JobState.FAILED
        painter.begun.clear()
        painter.may_draw.clear()
        jobs = [await house.submit(model="atelier", seed=n) for n in range(3)]
        await asyncio.sleep(0.1)
        assert len(painter.asked) == FAILURES  # it rests, and its only hope is worth waiting for
        house.seconds_ahead += FIRST_REST_SECONDS
        await painter.begun.wait()
        await asyncio.sleep(0.1)
        assert len(painter.asked) == FAILURES + 1
        painter.may_draw.set()
        assert {(await house.end(job.id)).state for job in jobs} == {JobState.SUCCEEDED}


async def test_retry_after_is_honoured(tmp_path: Path, scribble_models: Path) -> None:
    painter = Painter("atelier")
    painter.fails.append(ProviderRateLimitedError("wait", retry_after_seconds=50))
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        await house.draw(model="atelier")
        job = await house.submit(model="atelier")
        house.seconds_ahead += 45
        await asyncio.sleep(1.2)
        assert len(painter.asked) == 1
        house.seconds_ahead += 6
        assert (await house.end(job.id)).state is JobState.SUCCEEDED


async def test_a_wrong_key_fails_at_once_until_the_connection_is_changed(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = Painter("atelier")
    painter.fails.append(ProviderKeyError("wrong key"))
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        for _ in range(2):
            job = await house.draw(model="atelier")
            assert job.error is not None
            assert job.error.code == "provider-key"
        assert len(painter.asked) == 1
        (row,) = await house.store.connections.list()
        changed = row.model_copy(update={"model": "painter-10"})
        await house.store.connections.change(changed)
        await house.remotes.refresh()
        assert (await house.draw(model="atelier")).state is JobState.SUCCEEDED


async def test_a_connection_that_is_switched_off_lets_its_jobs_go(
    tmp_path: Path, scribble_models: Path
) -> None:
    first, second = Painter("first", concurrency=1), Painter("second")
    first.may_draw.clear()
    async with open_house(tmp_path / "data", scribble_models, first, second) as house:
        await house.chains.put("first", ["second"])
        under_way = await house.submit(model="first")
        await first.begun.wait()
        waiting = await house.submit(model="first")
        row = next(r for r in await house.store.connections.list() if r.name == "first")
        await house.store.connections.change(row.model_copy(update={"is_active": False}))
        await house.remotes.refresh()
        assert (await house.end(waiting.id)).images[0].served_by == "second"
        first.may_draw.set()
        assert (await house.end(under_way.id)).images[0].served_by == "first"


async def test_when_no_worker_draws_for_long_those_who_may_move_on_do(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = Painter("atelier")
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        await house.chains.put(MODEL, ["atelier"])
        house.easel.is_ready = False
        moving, staying = await house.submit(num_images=2), await house.submit(fallback="never")
        await asyncio.sleep(1.2)
        assert painter.asked == []
        house.seconds_ahead += WORKER_PATIENCE_SECONDS + 1
        ended = await house.end(moving.id)
        assert {image.served_by for image in ended.images} == {"atelier"}
        assert ended.tried[0].code == "worker-died"
        assert len(painter.asked) == 1  # both pictures in one call
        assert (await house.generation.job(staying.id, ANA)).state is JobState.QUEUED


async def test_a_job_that_ends_every_worker_moves_on(tmp_path: Path, scribble_models: Path) -> None:
    painter = Painter("atelier")
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        await house.chains.put(MODEL, ["atelier"])
        house.easel.deadly = MAX_DEATHS
        job = await house.draw()
        assert job.images[0].served_by == "atelier"
        assert job.tried[0].code == WorkerDiedError.code


async def test_time_passes_on_a_busy_server_too(tmp_path: Path, scribble_models: Path) -> None:
    painter = Painter("atelier")
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        await house.chains.put(MODEL, ["atelier"])
        house.easel.is_ready = False
        job = await house.submit()
        house.seconds_ahead += WORKER_PATIENCE_SECONDS + 1

        async def never_quiet() -> None:
            while True:
                house.dispatcher.wake()
                await asyncio.sleep(0.01)

        noise = asyncio.create_task(never_quiet())
        try:
            assert (await house.end(job.id)).images[0].served_by == "atelier"
        finally:
            noise.cancel()
