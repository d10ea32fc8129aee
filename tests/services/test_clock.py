"""A clock that jumps back and forth changes no order and misses no deadline."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.app import open_services
from server.domain.images import ImageRequest
from server.domain.jobs import JobState
from server.domain.keys import Caller, Scope
from server.settings import Settings

ADA = Caller(key_id="test", owner="ada", scopes=frozenset({Scope.GENERATE}))
START = datetime(2030, 1, 1, tzinfo=UTC)


class JumpingClock:
    """Every look at it finds it years before or after the last one."""

    def __init__(self) -> None:
        self._years = itertools.cycle((0, 9, -4, 3, -9, 6))

    def __call__(self) -> datetime:
        return START + timedelta(days=365 * next(self._years))


@pytest.fixture
def settings(tmp_path: Path, scribble_models: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", models_dir=scribble_models, devices=("cpu",))


async def test_jobs_run_in_their_order_and_lists_stay_sorted(settings: Settings) -> None:
    async with open_services(settings, now=JumpingClock()) as services:
        generation = services.generation
        jobs = [
            await generation.submit(
                ImageRequest(prompt=f"scene {i}", num_inference_steps=1, seed=i), ADA
            )
            for i in range(5)
        ]
        ended = [await generation.wait(job.id, ADA, 120) for job in jobs]
        assert [job.state for job in ended] == [JobState.SUCCEEDED] * 5
        listed = await generation.jobs(ADA, cursor=None, limit=10)
        assert [job.id for job in listed.items] == [job.id for job in reversed(jobs)]
        pictures = await services.gallery.images(ADA, cursor=None, limit=10)
        assert [p.seed for p in pictures.items] == [4, 3, 2, 1, 0]


async def test_a_deadline_is_a_span_that_no_jump_of_the_clock_shortens(settings: Settings) -> None:
    async with open_services(settings, now=JumpingClock()) as services:
        generation = services.generation
        in_time = await generation.submit(
            ImageRequest(prompt="soon", num_inference_steps=1, deadline_seconds=600), ADA
        )
        too_late = await generation.submit(
            ImageRequest(prompt="never", num_inference_steps=150, deadline_seconds=0.01), ADA
        )
        assert (await generation.wait(in_time.id, ADA, 120)).state is JobState.SUCCEEDED
        missed = await generation.wait(too_late.id, ADA, 120)
        assert missed.error is not None
        assert missed.error.code == "deadline-missed"
