"""The real `openai` SDK against the real server: sync, async, streaming, errors."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent

from tests.api.conftest import MAX_JOBS_PER_OWNER, SMALL, Running, slow
from tests.api.pictures import opened

FAST = {"num_inference_steps": 2}


@pytest.fixture
def key(server: Running) -> str:
    return server.new_key()


@pytest.fixture
def sdk(server: Running, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
        yield client


def native(server: Running, key: str) -> httpx2.Client:
    return server.client(key)


def test_a_picture_comes_back_as_base64(sdk: openai.OpenAI) -> None:
    answer = sdk.images.generate(prompt="a fox", size="64x64", extra_body=FAST)
    assert answer.data is not None
    assert answer.data[0].b64_json is not None
    assert answer.data[0].url is None
    assert opened(base64.b64decode(answer.data[0].b64_json)).size == (64, 64)
    assert (answer.size, answer.output_format, answer.background, answer.quality) == (
        "64x64",
        "png",
        "opaque",
        "medium",
    )
    assert abs(answer.created - time.time()) < 60
    assert answer.usage is not None
    assert answer.usage.total_tokens == 0


def test_several_pictures_in_another_format(sdk: openai.OpenAI) -> None:
    answer = sdk.images.generate(
        model="scribble-xl",
        prompt="foxes",
        n=3,
        size="64x64",
        output_format="webp",
        user="someone",
        extra_body={**FAST, "seed": 5},
    )
    assert answer.data is not None
    pictures = [opened(base64.b64decode(image.b64_json or "")) for image in answer.data]
    assert [picture.format for picture in pictures] == ["WEBP"] * 3
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert answer.safety_identifier == "someone"


def test_a_link_opens_without_a_key(sdk: openai.OpenAI, nobody: httpx2.Client) -> None:
    answer = sdk.images.generate(
        prompt="a fox", size="64x64", response_format="url", extra_body=FAST
    )
    assert answer.data is not None
    assert answer.data[0].b64_json is None
    link = answer.data[0].url
    assert link is not None
    file = nobody.get(link)
    assert (file.status_code, file.headers["Content-Type"]) == (200, "image/png")
    assert file.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert opened(file.content).size == (64, 64)


@pytest.mark.parametrize("change", ["signature=0", "expires=1", "id"])
def test_a_link_that_was_changed_opens_nothing(
    sdk: openai.OpenAI, nobody: httpx2.Client, change: str
) -> None:
    answers = [
        sdk.images.generate(prompt="x", size="64x64", response_format="url", extra_body=FAST)
        for _ in range(2)
    ]
    links = [httpx2.URL(answer.data[0].url or "") for answer in answers if answer.data]
    if change == "id":
        changed = links[0].copy_with(path=links[1].path)
    else:
        name, _, value = change.partition("=")
        changed = links[0].copy_set_param(name, value)
    response = nobody.get(changed)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden")


async def test_the_async_client_draws_at_the_same_time(server: Running, key: str) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{server.url}/v1", api_key=key, max_retries=0
    ) as client:
        answers = await asyncio.gather(
            *(
                client.images.generate(prompt=f"fox {n}", size="64x64", extra_body=FAST)
                for n in range(3)
            )
        )
    assert all(answer.data and answer.data[0].b64_json for answer in answers)


def test_a_stream_sends_partial_pictures_and_then_the_whole(sdk: openai.OpenAI) -> None:
    stream = sdk.images.generate(
        prompt="a long story",
        size="256x256",
        stream=True,
        partial_images=2,
        extra_body={"num_inference_steps": 100},
    )
    *partial, last = list(stream)
    assert isinstance(last, ImageGenCompletedEvent)
    assert (last.type, last.size, last.output_format) == (
        "image_generation.completed",
        "256x256",
        "png",
    )
    assert opened(base64.b64decode(last.b64_json)).size == (256, 256)
    assert 1 <= len(partial) <= 2
    for index, event in enumerate(partial):
        assert isinstance(event, ImageGenPartialImageEvent)
        assert (event.partial_image_index, event.output_format) == (index, "jpeg")
        assert opened(base64.b64decode(event.b64_json)).format == "JPEG"


def test_a_stream_without_partial_pictures_is_one_event(sdk: openai.OpenAI) -> None:
    stream = sdk.images.generate(prompt="a fox", size="64x64", stream=True, extra_body=FAST)
    assert [event.type for event in stream] == ["image_generation.completed"]


async def test_the_async_client_streams(server: Running, key: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key) as client:
        stream = await client.images.generate(
            prompt="a fox", size="64x64", stream=True, partial_images=3, extra_body=FAST
        )
        events = [event async for event in stream]
    assert events[-1].type == "image_generation.completed"


def test_a_job_that_fails_in_a_stream_is_an_error_of_the_sdk(sdk: openai.OpenAI) -> None:
    stream = sdk.images.generate(prompt="x", stream=True, extra_body=slow(deadline_seconds=0.2))
    with pytest.raises(openai.APIError, match="not done within"):
        list(stream)


def test_a_job_that_fails_is_an_error_that_is_not_sent_again(server: Running, key: str) -> None:
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=2) as client,
        pytest.raises(openai.InternalServerError, match="not done within") as caught,
    ):
        client.images.generate(prompt="x", extra_body=slow(deadline_seconds=0.2))
    assert (caught.value.status_code, caught.value.code) == (504, "deadline_missed")
    assert len(native(server, key).get("/api/v1/jobs").json()["items"]) == 1


def test_models_are_listed_and_looked_at(sdk: openai.OpenAI) -> None:
    ids = [model.id for model in sdk.models.list()]
    assert "scribble-xl" in ids
    model = sdk.models.retrieve("scribble-xl")
    assert (model.id, model.object, model.owned_by) == ("scribble-xl", "model", "local")


def test_a_wrong_key_is_an_authentication_error(server: Running) -> None:
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.images.generate(prompt="a fox")
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "authentication_error")


def test_an_unknown_model_is_not_found(sdk: openai.OpenAI) -> None:
    for call in (
        lambda: sdk.images.generate(prompt="a fox", model="gpt-image-9"),
        lambda: sdk.images.generate(prompt="a fox", model="black-forest-labs/FLUX.1"),
        lambda: sdk.models.retrieve("gpt-image-9"),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            call()
        assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 5}, "n"),
        ({"size": "63x64"}, "size"),
        ({"size": "large"}, "size"),
        ({"style": "vivid"}, "style"),
        ({"background": "transparent"}, "background"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_compression": 50}, "output_compression"),
        ({"extra_body": {"colour": "red"}}, "colour"),
        ({"extra_body": {"max_sequence_length": 128}}, "max_sequence_length"),
    ],
)
def test_a_bad_request_names_the_field(
    sdk: openai.OpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.images.generate(prompt="a fox", **fields)
    assert (caught.value.type, caught.value.param) == ("invalid_request_error", param)


def test_a_full_queue_is_a_rate_limit_error(server: Running, key: str, sdk: openai.OpenAI) -> None:
    client = native(server, key)
    ids = [
        client.post("/api/v1/jobs", json=slow(seed=n)).json()["id"]
        for n in range(MAX_JOBS_PER_OWNER)
    ]
    try:
        with pytest.raises(openai.RateLimitError) as caught:
            sdk.images.generate(prompt="a fox")
        assert caught.value.code == "rate_limit_exceeded"
        assert int(caught.value.response.headers["Retry-After"]) >= 1
    finally:
        for job_id in ids:
            client.delete(f"/api/v1/jobs/{job_id}")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_its_job(
    server: Running, key: str, *, stream: bool
) -> None:
    body = {**slow(), "stream": stream}
    asking = httpx2.AsyncClient(
        base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=60
    )
    async with asking:
        task = asyncio.create_task(asking.post("/v1/images/generations", json=body))
        job = await _first_job(asking)
        task.cancel()
        await asyncio.wait([task])
        end = time.monotonic() + 10
        while job["state"] != "cancelled":
            assert time.monotonic() < end, job["state"]
            await asyncio.sleep(0.05)
            job = (await asking.get(f"/api/v1/jobs/{job['id']}")).json()


def test_the_same_idempotency_key_draws_once(server: Running, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "once"}
    with httpx2.Client(base_url=server.url, headers=headers, timeout=60) as client:
        body = {"prompt": "a fox", **SMALL}
        first, second = (client.post("/v1/images/generations", json=body) for _ in range(2))
    assert first.json() == second.json()
    assert len(native(server, key).get("/api/v1/jobs").json()["items"]) == 1


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/images/variations"])
def test_an_unknown_address_is_told_in_openais_form(server: Running, key: str, path: str) -> None:
    response = native(server, key).post(path, json={})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


async def _first_job(client: httpx2.AsyncClient) -> dict[str, Any]:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        items: list[dict[str, Any]] = (await client.get("/api/v1/jobs")).json()["items"]
        if items:
            return items[0]
        await asyncio.sleep(0.02)
    raise TimeoutError
