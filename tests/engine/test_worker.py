"""The worker as the server meets it: a real process that draws, and that may die at any time."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from server.domain.errors import (
    GenerationFailedError,
    GpuMemoryError,
    ModelUnavailableError,
    NotFoundError,
    RequestRefusedError,
    TooLargeError,
    UnreadableImageError,
)
from server.domain.events import Failed, Picture, Preview, Progress, Started
from server.domain.images import ImageFormat
from server.domain.models import EngineModel
from server.engine.client import EngineWorker
from server.pictures.recipe_file import read_recipe
from tests.engine.drawing import request
from tests.engine.workers import (
    DAMAGED,
    HUGE,
    LONG,
    SOURCE,
    events_of,
    is_same,
    new_worker,
    picture_of,
    pixels_of,
    running,
)

FLUX = {"model": "tiny-flux", "max_sequence_length": 32, "guidance_scale": 3.5}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(
    models: dict[str, EngineModel], sources: dict[str, bytes]
) -> AsyncIterator[EngineWorker]:
    async with running(new_worker(models, sources, preview_interval_seconds=0.2)) as ready:
        yield ready


async def test_a_picture_comes_with_every_step_before_it(worker: EngineWorker) -> None:
    events = await events_of(worker, request(num_inference_steps=4))
    assert events[0] == Started(0, 4)
    assert [event.step for event in events if isinstance(event, Progress)][-1] == 4
    picture = events[-1]
    assert isinstance(picture, Picture)
    assert (picture.width, picture.height, picture.format) == (64, 64, ImageFormat.PNG)
    assert pixels_of(picture).shape == (64, 64, 3)
    assert pixels_of(picture).std() > 10  # not one flat colour
    assert worker.loaded_models[-1] == "tiny"
    assert worker.in_flight == 0


@pytest.mark.parametrize("format_", list(ImageFormat))
async def test_the_recipe_in_a_file_draws_the_same_pixels_again(
    worker: EngineWorker, format_: ImageFormat
) -> None:
    first = await picture_of(worker, request(seed=77, scheduler="euler_a", format=format_))
    recipe = read_recipe(first.data)
    assert recipe == first.recipe
    repeated = {
        name: getattr(recipe, name)
        for name in type(request()).model_fields
        if hasattr(recipe, name)
    }
    again = await picture_of(worker, request(**repeated))
    assert np.array_equal(pixels_of(first), pixels_of(again))
    assert again.recipe.model_dump(exclude={"created_at"}) == recipe.model_dump(
        exclude={"created_at"}
    )


async def test_several_pictures_count_their_seeds_up(worker: EngineWorker) -> None:
    events = await events_of(worker, request(seed=5, num_images=3))
    pictures = [event for event in events if isinstance(event, Picture)]
    assert [picture.recipe.seed for picture in pictures] == [5, 6, 7]
    alone = await picture_of(worker, request(seed=6))
    assert is_same(pictures[1], alone)


async def test_a_second_order_scheduler_counts_the_steps_that_were_asked_for(
    worker: EngineWorker,
) -> None:
    events = await events_of(worker, request(scheduler="heun", num_inference_steps=5))
    assert events[0] == Started(0, 5)
    steps = [event.step for event in events if isinstance(event, Progress)]
    assert steps == sorted(steps)
    assert steps[-1] == 5


async def test_both_families_stay_loaded(worker: EngineWorker) -> None:
    await picture_of(worker, request())
    await picture_of(worker, request(**FLUX))
    assert set(worker.loaded_models) == {"tiny", "tiny-flux"}


async def test_two_at_once_are_both_drawn_as_if_alone(worker: EngineWorker) -> None:
    asked = [request(seed=1), request(seed=2, **FLUX)]
    together = await asyncio.gather(*(picture_of(worker, one) for one in asked))
    for picture, one in zip(together, asked, strict=True):
        assert is_same(picture, await picture_of(worker, one))


async def test_a_source_picture_is_cut_to_the_size_asked_for(worker: EngineWorker) -> None:
    events = await events_of(
        worker, request(image=SOURCE, strength=0.5, num_inference_steps=6, width=64, height=96)
    )
    assert events[0] == Started(0, 3)
    picture = events[-1]
    assert isinstance(picture, Picture)
    assert (picture.width, picture.height) == (64, 96)
    assert picture.recipe.strength == 0.5
    assert picture.recipe.image is not None


async def test_previews_are_small_pictures_and_rare(worker: EngineWorker) -> None:
    seen: list[tuple[float, Preview]] = []
    began = time.monotonic()
    stream = worker.generate(request(**LONG))
    async with contextlib.aclosing(stream), asyncio.timeout(60):
        async for event in stream:
            if isinstance(event, Preview):
                seen.append((time.monotonic(), event))
            if time.monotonic() - began > 1.5:
                break
    assert 2 <= len(seen) <= (time.monotonic() - began) / 0.2 + 1
    image = Image.open(io.BytesIO(seen[0][1].data))
    assert (image.format, image.size) == ("JPEG", (64, 64))


async def test_closing_the_iterator_cancels_within_one_step(worker: EngineWorker) -> None:
    stream = worker.generate(request(**LONG))
    async with contextlib.aclosing(stream):
        async for event in stream:
            if isinstance(event, Progress) and event.step == 3:
                break
    began = time.monotonic()
    events = await events_of(worker, request(num_inference_steps=1))
    assert isinstance(events[-1], Picture)
    assert time.monotonic() - began < 1.5  # the long one would have taken many times that


async def test_a_draw_cancelled_while_it_waits_is_never_begun(worker: EngineWorker) -> None:
    first = worker.generate(request(**LONG))
    second = worker.generate(request(model="another"))  # not in memory: it waits for the first
    async with contextlib.aclosing(first), contextlib.aclosing(second):
        assert isinstance(await anext(first), Started)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(second)
    assert isinstance((await events_of(worker, request()))[-1], Picture)
    assert worker.in_flight == 0
    assert "another" not in worker.loaded_models


@pytest.mark.parametrize(
    ("values", "error", "word"),
    [
        ({"model": "broken"}, ModelUnavailableError, "broken"),
        (
            {"image": DAMAGED, "strength": 0.5},
            UnreadableImageError,
            "given as image cannot be read",
        ),
        ({"image": HUGE, "strength": 0.5}, TooLargeError, "too large"),
        ({"model": "runaway"}, GenerationFailedError, "numbers ran away"),
        ({"image": "2" * 26, "strength": 0.5}, NotFoundError, "picture"),
        ({"image": SOURCE, "strength": 0.1}, RequestRefusedError, "strength"),
        ({"scheduler": "lcm", "num_inference_steps": 120}, RequestRefusedError, "120"),
        ({"width": 2**20, "height": 2**20}, GpuMemoryError, "memory"),
        ({"scheduler": "nonsense"}, GenerationFailedError, "engine"),
    ],
)
async def test_what_cannot_be_drawn_fails_alone_and_says_why(
    worker: EngineWorker, values: dict[str, object], error: type[Exception], word: str
) -> None:
    epoch = worker.epoch
    failed = (await events_of(worker, request(**values)))[-1]
    assert isinstance(failed, Failed)
    assert type(failed.error) is error
    assert word in failed.error.detail
    assert "/" not in failed.error.detail
    await picture_of(worker, request())
    assert worker.epoch == epoch


async def test_a_full_memory_evicts_the_other_models_first(worker: EngineWorker) -> None:
    await picture_of(worker, request(**FLUX))
    await picture_of(worker, request())
    await events_of(worker, request(width=2**20, height=2**20))
    assert worker.loaded_models == ("tiny",)


async def test_a_slow_reader_holds_nobody_up_and_finds_the_newest(worker: EngineWorker) -> None:
    stream = worker.generate(request(num_inference_steps=100))
    async with contextlib.aclosing(stream):
        assert isinstance(await anext(stream), Started)
        await asyncio.sleep(0)  # reads nothing more while another is drawn to its end
        await picture_of(worker, request(seed=3, num_inference_steps=150))
        rest = [event async for event in stream]
    assert len([event for event in rest if isinstance(event, Progress)]) <= 2
    assert isinstance(rest[-1], Picture)
