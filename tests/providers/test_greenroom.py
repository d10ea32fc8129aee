"""Another Greenroom on loopback, for real: a second server process draws for this one."""

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from server.domain.connections import ProviderKind
from server.domain.errors import (
    InvalidRequestError,
    ProviderAnswerError,
    ProviderKeyError,
    ProviderModelGoneError,
    ProviderUnreachableError,
)
from server.domain.events import Event, Picture, Preview, Progress, Started
from server.domain.images import ImageRequest
from server.domain.models import Family
from server.domain.resolve import resolve
from server.net.fetch import SafeFetcher
from server.pictures.recipe_file import read_recipe
from server.providers import greenroom_answers as answers
from server.providers.factory import make_provider
from server.providers.greenroom import GreenroomProvider
from server.providers.http import make_client
from server.providers.remote import RemoteProvider
from tests.engine.adapters import made
from tests.providers import services
from tests.serving import TOKEN, ServerProcess, free_port

SMALL: dict[str, Any] = {"width": 64, "height": 64, "num_inference_steps": 3}


@pytest.fixture(scope="module")
def other(
    tmp_path_factory: pytest.TempPathFactory, scribble_models: Path
) -> Iterator[ServerProcess]:
    """The other server; it draws with random weights and with Storybook."""
    folder = tmp_path_factory.mktemp("other") / "data"
    settings = {"GREENROOM_PREVIEW_INTERVAL_SECONDS": "0.5"}
    with ServerProcess(folder, scribble_models, settings=settings) as server:
        yield server


@asynccontextmanager
async def peer(
    url: str, *, model: str = "scribble-xl", key: str = TOKEN, **changes: Any
) -> AsyncIterator[RemoteProvider]:
    async with make_client() as client:
        yield make_provider(
            services.connection("greenroom", model, url, **changes),
            key=key,
            client=client,
            fetch=SafeFetcher().get,
            load_source=services.load_source,
        )


def url_of(server: ServerProcess) -> str:
    return f"http://127.0.0.1:{server.port}"


async def test_its_model_is_declared_as_it_declares_it_itself(other: ServerProcess) -> None:
    async with peer(url_of(other)) as provider:
        [info] = await provider.models()
    theirs = other.get("/api/v1/models/scribble-xl")
    assert (info.id, info.family, info.provider) == ("far", Family.REMOTE, "greenroom")
    ours = info.model_dump(mode="json")
    for name in ("parameters", "sizes", "styles", "max_pixels", "size_multiple", "task"):
        assert ours[name] == theirs[name]
    assert ours["remote"]["service_model"] == "scribble-xl"


async def test_it_draws_what_it_draws_for_itself_and_the_recipe_says_so(
    other: ServerProcess,
) -> None:
    async with peer(url_of(other)) as provider:
        events = await services.drawn(provider, num_images=2, seed=40, format="webp", **SMALL)
    found = services.pictures(events)
    assert [(p.index, p.recipe.seed) for p in found] == [(0, 40), (1, 41)]
    assert any(isinstance(event, Progress) and event.total_steps == 3 for event in events)
    assert isinstance(events[0], Started)
    recipe = read_recipe(found[0].data)
    assert recipe == found[0].recipe
    assert recipe.remote is not None
    assert (recipe.model, recipe.remote.provider) == ("far", ProviderKind.GREENROOM)
    assert (recipe.remote.model, recipe.remote.seeded) == ("scribble-xl", True)
    assert recipe.engine is not None
    assert recipe.engine.device == "cpu"
    own = other.wait_for(other.submit(prompt="a red kite", seed=40, **SMALL)["id"])
    assert own["images"][0]["recipe"]["fingerprint"] == recipe.fingerprint


def difference(drawn: Picture, file: bytes) -> float:
    """Return the largest mean difference of a colour between two files."""
    ours = Image.open(io.BytesIO(drawn.data)).convert("RGB")
    theirs = Image.open(io.BytesIO(file)).convert("RGB").resize(ours.size)
    apart = [abs(a - b) for a, b in zip(ours.tobytes(), theirs.tobytes(), strict=True)]
    return sum(apart) / len(apart)


async def test_a_png_arrives_pixel_by_pixel(other: ServerProcess) -> None:
    async with peer(url_of(other)) as provider:
        [found] = services.pictures(await services.drawn(provider, seed=41, **SMALL))
    own = other.wait_for(other.submit(prompt="a red kite", seed=41, **SMALL)["id"])
    file = other.client.get(own["images"][0]["url"]).content
    assert difference(found, file) == 0


async def test_pictures_are_brought_once_and_drawn_from(other: ServerProcess) -> None:
    def uploads() -> int:
        return len(other.get("/api/v1/uploads")["items"])

    before = uploads()
    asked = {"image": services.source_id("image"), "mask": services.source_id("mask")}
    async with peer(url_of(other)) as provider:
        for seed in (1, 2):
            [found] = services.pictures(await services.drawn(provider, seed=seed, **asked, **SMALL))
            assert found.recipe.image is not None
            assert found.recipe.mask is not None
    assert uploads() == before + 2


@pytest.mark.slow
async def test_its_adapters_are_listed_and_drawn_with_by_their_names_there(
    other: ServerProcess, tmp_path: Path
) -> None:
    from server.engine import tiny

    weights = made.adapter({"unet": tiny.make_sdxl().unet}, 1, wanted=made.attention, size=0.3)
    file = made.written(made.peft(weights), tmp_path).read_bytes()
    brought = other.client.post("/api/v1/adapters", files={"file": ("Ink.safetensors", file)})
    assert brought.status_code == 201, brought.text
    async with peer(url_of(other)) as provider:
        assert isinstance(provider, GreenroomProvider)
        [ink] = await provider.adapters()
        assert (ink.id, ink.family) == ("ink", Family.REMOTE)
        [info] = await provider.models()
        asked = ImageRequest(prompt="a fox <lora:ink:0.8>", seed=7, **SMALL)
        request = resolve(asked, info, seed=1, adapters={ink.id: ink})
        [drawn] = services.pictures([event async for event in provider.generate(request)])
    own = other.wait_for(other.submit(prompt="a fox <lora:ink:0.8>", seed=7, **SMALL)["id"])
    theirs = other.client.get(own["images"][0]["url"]).content
    other.client.delete("/api/v1/adapters/ink").raise_for_status()
    assert difference(drawn, theirs) == 0
    [named] = drawn.recipe.adapters
    assert (named.id, named.weight, named.sha256) == ("ink", 0.8, ink.sha256)


async def test_previews_come_while_it_draws(other: ServerProcess) -> None:
    async with peer(url_of(other)) as provider:
        events = await services.drawn(
            provider, width=192, height=192, num_inference_steps=120, seed=3
        )
    shown = [event for event in events if isinstance(event, Preview)]
    assert shown
    assert Image.open(io.BytesIO(shown[0].data)).format == "JPEG"


async def begun(events: AsyncIterator[Event]) -> None:
    async for event in events:
        if isinstance(event, Progress):
            return


async def test_closing_the_generator_cancels_the_job_there(other: ServerProcess) -> None:
    async with peer(url_of(other)) as provider:
        request = await services.resolved(
            provider, width=256, height=256, num_inference_steps=150, prompt="a long story"
        )
        async with aclosing(provider.generate(request)) as events:
            await begun(events)
    newest = other.get("/api/v1/jobs")["items"][0]
    assert newest["request"]["prompt"] == "a long story"
    assert newest["state"] == "cancelled"


async def test_cancelling_the_task_cancels_the_job_there(other: ServerProcess) -> None:
    async with peer(url_of(other)) as provider:
        request = await services.resolved(
            provider, width=256, height=256, num_inference_steps=150, prompt="another long story"
        )
        has_begun = asyncio.Event()

        async def draw() -> None:
            async with aclosing(provider.generate(request)) as events:
                await begun(events)
                has_begun.set()
                async for _ in events:
                    pass

        task = asyncio.create_task(draw())
        await has_begun.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    newest = other.get("/api/v1/jobs")["items"][0]
    assert (newest["request"]["prompt"], newest["state"]) == ("another long story", "cancelled")


async def test_the_same_resend_key_draws_once_even_from_another_process(
    other: ServerProcess,
) -> None:
    async with peer(url_of(other)) as first, peer(url_of(other)) as second:
        before = len(other.get("/api/v1/jobs?limit=200")["items"])
        drawn = []
        for provider in (first, second):
            request = await services.resolved(provider, seed=77, **SMALL)
            events = [e async for e in provider.generate(request, resend_key="job-1:0")]
            drawn.append(services.pictures(events)[0])
        assert len(other.get("/api/v1/jobs?limit=200")["items"]) == before + 1
    assert drawn[0].recipe.seed == drawn[1].recipe.seed == 77


async def test_a_cancelled_attempt_does_not_stand_in_the_way_of_the_next(
    other: ServerProcess,
) -> None:
    async with peer(url_of(other)) as provider:
        request = await services.resolved(
            provider, width=192, height=192, num_inference_steps=60, seed=5
        )
        async with aclosing(provider.generate(request, resend_key="job-2:0")) as events:
            await begun(events)
        again = [event async for event in provider.generate(request, resend_key="job-2:0")]
    assert len(services.pictures(again)) == 1


async def test_an_estimate_is_what_it_says_itself_its_queue_included(
    other: ServerProcess,
) -> None:
    async with peer(url_of(other)) as provider:
        await services.drawn(provider, **SMALL)
        request = await services.resolved(provider, **SMALL)
        free = (await provider.estimate(request)).seconds
        waiting = [
            other.submit(prompt="in front", width=256, height=256, num_inference_steps=150)
            for _ in range(2)
        ]
        behind = (await provider.estimate(request)).seconds
        for job in waiting:
            other.client.delete(f"/api/v1/jobs/{job['id']}").raise_for_status()
    assert free is not None
    assert behind is not None
    assert behind > 2 * free


async def test_check_tells_what_there_is_and_fails_on_a_wrong_key(other: ServerProcess) -> None:
    async with peer(url_of(other)) as provider:
        found = await provider.check()
    assert {"scribble-xl", "storybook-xl"} <= {model.id for model in found.models}
    assert found.limits == ("0 adapters suit 'scribble-xl'",)
    async with peer(url_of(other), key="wrong-key-0123456789") as provider:
        with pytest.raises(ProviderKeyError, match="check the connection's key") as caught:
            await provider.check()
    assert "wrong-key" not in str(caught.value)


async def test_a_model_that_is_not_there_is_gone(other: ServerProcess) -> None:
    async with peer(url_of(other), model="nope") as provider:
        with pytest.raises(ProviderModelGoneError, match="nope"):
            await provider.models()


async def test_an_address_is_needed_and_one_that_is_down_is_unreachable() -> None:
    with pytest.raises(InvalidRequestError, match="needs base_url"):
        async with peer("http://127.0.0.1:1", base_url=None):
            pass
    async with peer(f"http://127.0.0.1:{free_port()}") as provider:
        with pytest.raises(ProviderUnreachableError, match="cannot be reached") as caught:
            await provider.models()
        assert not caught.value.may_have_billed
        listed = await provider.catalogue()
    assert listed.models == ()
    assert listed.problem is not None


@pytest.mark.slow
async def test_storybook_draws_through_it_while_its_worker_is_killed(
    other: ServerProcess,
) -> None:
    async with peer(url_of(other), model="storybook-xl") as provider:
        [info] = await provider.models()
        request = resolve(ImageRequest(prompt="a fox in a forest", num_images=2), info, seed=11)
        events: list[Event] = []
        killed = False
        async with aclosing(provider.generate(request)) as heard:
            async for event in heard:
                events.append(event)
                if isinstance(event, Progress) and not killed:
                    killed = True
                    worker = other.worker_pid()
                    assert worker is not None
                    os.kill(worker, signal.SIGKILL)
    assert killed
    assert services.failures(events) == []
    assert sorted(picture.index for picture in services.pictures(events)) == [0, 1]
    newest = other.get("/api/v1/jobs")["items"][0]
    assert (newest["state"], len(newest["images"])) == ("succeeded", 2)


@pytest.mark.slow
async def test_a_server_that_is_killed_and_comes_back_finishes_the_same_job(
    tmp_path: Path, scribble_models: Path
) -> None:
    with ServerProcess(tmp_path / "data", scribble_models) as server:
        async with peer(url_of(server)) as provider:
            request = await services.resolved(
                provider, width=128, height=128, num_inference_steps=40, num_images=2
            )
            events: list[Event] = []
            killed = False
            async for event in provider.generate(request):
                events.append(event)
                if isinstance(event, Progress) and not killed:
                    killed = True
                    server.kill()
                    await asyncio.to_thread(server.start)
        jobs = server.get("/api/v1/jobs")["items"]
    assert services.failures(events) == []
    assert sorted(picture.index for picture in services.pictures(events)) == [0, 1]
    assert len(jobs) == 1


async def test_a_request_that_it_refuses_is_told_in_its_words(other: ServerProcess) -> None:
    async with peer(url_of(other)) as provider:
        request = await services.resolved(provider, **SMALL)
        wrong = request.model_copy(update={"width": 68})
        [failed] = services.failures([event async for event in provider.generate(wrong)])
    assert "multiple of 8" in str(failed.error)
    assert (failed.error.code, failed.error.parameter) == ("provider-request", "width")


async def test_a_thing_that_is_no_greenroom_is_an_error_of_ours() -> None:
    async with services.service(services.saying({"hello": 1})) as strange, peer(strange.url) as far:
        with pytest.raises(ProviderAnswerError, match="does not understand"):
            await far.models()
        assert httpx2.URL(strange.url).host == "127.0.0.1"


@pytest.mark.parametrize(
    ("code", "may_have_billed"),
    [
        ("provider-unreachable", True),
        ("provider-answer", True),
        ("provider-refused", False),
        ("provider-quota", False),
        ("worker-died", False),
    ],
)
def test_what_a_service_behind_it_may_have_billed_is_not_asked_for_elsewhere(
    code: str, *, may_have_billed: bool
) -> None:
    error = answers.failure(answers.JobError(code=code, detail="cut in the middle"), "'far'")
    assert error.may_have_billed is may_have_billed
