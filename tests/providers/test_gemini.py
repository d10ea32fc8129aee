"""Gemini, against a server that replays the bytes of its documentation.

Forms of requests and answers: googleapis/python-genai 3.4.0 (`types.py`, `errors.py`); the body
of a 429: google-gemini/gemini-cli issue 8437.
"""

import asyncio
import io
from contextlib import aclosing
from typing import Any

import pytest
from PIL import Image

from server.domain.errors import (
    ProviderAnswerError,
    ProviderError,
    ProviderKeyError,
    ProviderModelGoneError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRefusedError,
    ProviderRequestError,
    ProviderUnreachableError,
    RequestRefusedError,
)
from server.domain.events import Event, Started
from server.domain.money import Money
from server.pictures.recipe_file import read_recipe
from tests.providers import services
from tests.providers.services import b64, drawn, failures, picture, pictures, provider_at, saying

FLASH, PRO = "gemini-3.1-flash-image", "gemini-3-pro-image"


def candidate(*parts: dict[str, Any], reason: str = "STOP") -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": list(parts)}, "finishReason": reason}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1120},
        "modelVersion": FLASH,
    }


def inline(data: bytes, **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": b64(data)}, **more}


def fault(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


async def events_of(*replies: services.Reply, model: str = FLASH, **fields: Any) -> list[Event]:
    async with services.service(*replies) as fake, provider_at("gemini", model, fake.url) as far:
        return await drawn(far, **fields)


async def error_of(reply: services.Reply, **fields: Any) -> ProviderError:
    [failed] = failures(await events_of(reply, **fields))
    assert isinstance(failed.error, ProviderError)
    return failed.error


async def test_a_picture_comes_with_its_true_size_its_price_and_its_recipe() -> None:
    reply = saying(candidate({"text": "Here."}, inline(picture(1376, 768))))
    async with services.service(reply) as fake, provider_at("gemini", FLASH, fake.url) as far:
        events = await drawn(far, width=1920, height=1080, seed=5, format="webp")
        [asked] = fake.asked
    assert isinstance(events[0], Started)
    [found] = pictures(events)
    assert (found.width, found.height) == (1376, 768)
    assert found.cost == Money(micros=67_000)
    assert Image.open(io.BytesIO(found.data)).format == "WEBP"
    recipe = read_recipe(found.data)
    assert (recipe.width, recipe.height, recipe.seed) == (1376, 768, 5)
    assert (recipe.num_inference_steps, recipe.scheduler, recipe.engine) == (None, None, None)
    assert dict(recipe.options) == {"image_size": "1K"}
    assert recipe.remote is not None
    assert (recipe.remote.provider, recipe.remote.model) == ("gemini", FLASH)
    assert asked.target == f"/v1beta/models/{FLASH}:generateContent"
    assert asked.headers["x-goog-api-key"] == services.KEY
    assert services.KEY not in asked.target
    assert asked.json == {
        "contents": [{"role": "user", "parts": [{"text": "a red kite"}]}],
        "generationConfig": {
            "responseModalities": ["IMAGE"],
            "imageConfig": {"aspectRatio": "16:9", "imageSize": "1K"},
            "seed": 5,
        },
    }


async def test_no_file_of_ours_holds_the_address_or_the_key() -> None:
    reply = saying(candidate(inline(picture())))
    async with services.service(reply) as fake, provider_at("gemini", FLASH, fake.url) as far:
        [found] = pictures(await drawn(far))
    assert services.KEY.encode() not in found.data
    assert b"127.0.0.1" not in found.data


async def test_references_and_options_go_along_in_the_services_own_names() -> None:
    reply = saying(candidate(inline(picture())))
    async with services.service(reply) as fake, provider_at("gemini", PRO, fake.url) as far:
        events = await drawn(
            far,
            references=[services.source_id("image")],
            options={"image_size": "4K", "temperature": 0.5, "top_p": 0.9},
        )
        sent = fake.asked[0].json
    [found] = pictures(events)
    assert found.cost == Money(micros=240_000)
    assert len(found.recipe.references) == 1
    assert sent["contents"][0]["parts"][1] == inline(services.SOURCES["image"])
    assert sent["generationConfig"]["temperature"] == 0.5
    assert sent["generationConfig"]["topP"] == 0.9
    assert sent["generationConfig"]["imageConfig"]["imageSize"] == "4K"


async def test_four_pictures_are_four_calls_with_four_seeds() -> None:
    reply = saying(candidate(inline(picture())))
    async with services.service(reply) as fake, provider_at("gemini", FLASH, fake.url) as far:
        found = pictures(await drawn(far, num_images=4, seed=10))
        seeds = [asked.json["generationConfig"]["seed"] for asked in fake.asked]
    assert [one.index for one in found] == [0, 1, 2, 3]
    assert seeds == [one.recipe.seed for one in found] == [10, 11, 12, 13]


async def test_what_came_before_a_failure_is_kept_and_nothing_more_is_asked_for() -> None:
    good, bad = (
        saying(candidate(inline(picture()))),
        saying(fault(500, "INTERNAL", "x"), status=500),
    )
    async with (
        services.service(good, bad) as fake,
        provider_at("gemini", FLASH, fake.url) as far,
    ):
        events = await drawn(far, num_images=3)
        assert len(fake.asked) == 2
    assert [one.index for one in pictures(events)] == [0]
    assert [one.index for one in failures(events)] == [1, 2]


async def test_drafts_of_a_thinking_model_are_not_the_picture() -> None:
    draft, final = picture(32, 32), picture(64, 64)
    [found] = pictures(
        await events_of(saying(candidate(inline(draft, thought=True), inline(final))))
    )
    assert (found.width, found.height) == (64, 64)


async def test_both_alphabets_of_base64_are_read() -> None:
    part = inline(picture())
    part["inlineData"]["data"] = (
        part["inlineData"]["data"].replace("+", "-").replace("/", "_").rstrip("=")
    )
    assert len(pictures(await events_of(saying(candidate(part))))) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, "PROHIBITED_CONTENT"),
        (candidate(reason="IMAGE_SAFETY"), "IMAGE_SAFETY"),
        (candidate({"text": "I cannot draw <b>that</b>."}), "STOP: I cannot draw that"),
        (candidate(inline(picture(), thought=True), reason="NO_IMAGE"), "NO_IMAGE"),
    ],
)
async def test_a_refusal_keeps_the_services_reason(answer: dict[str, Any], words: str) -> None:
    error = await error_of(saying(answer))
    assert isinstance(error, ProviderRefusedError)
    assert words in error.detail
    assert not error.moves_on


async def test_an_answer_with_nothing_in_it_may_have_been_billed() -> None:
    error = await error_of(saying({"candidates": []}))
    assert (type(error), error.may_have_billed) == (ProviderAnswerError, True)


async def test_a_refusal_that_repeats_the_key_is_told_without_it() -> None:
    error = await error_of(saying(candidate({"text": f"I do not know {services.KEY}."})))
    assert services.KEY not in error.detail
    assert "I do not know [key]." in error.detail


ZERO_QUOTA = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
}
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3600s"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "moves_on"),
    [
        (400, fault(400, "INVALID_ARGUMENT", "Bad size"), ProviderRequestError, False),
        (
            400,
            fault(400, "INVALID_ARGUMENT", "no", {"reason": "API_KEY_INVALID"}),
            ProviderKeyError,
            True,
        ),
        (401, fault(401, "UNAUTHENTICATED", "who?"), ProviderKeyError, True),
        (403, fault(403, "PERMISSION_DENIED", "no"), ProviderKeyError, True),
        (404, fault(404, "NOT_FOUND", "no such model"), ProviderModelGoneError, True),
        (429, fault(429, "RESOURCE_EXHAUSTED", "quota", ZERO_QUOTA), ProviderQuotaError, True),
        (429, fault(429, "RESOURCE_EXHAUSTED", "slow", RETRY_INFO), ProviderRateLimitedError, True),
        (500, fault(500, "INTERNAL", "oops"), ProviderUnreachableError, True),
        (503, fault(503, "UNAVAILABLE", "busy"), ProviderUnreachableError, True),
        (302, {}, ProviderAnswerError, True),
    ],
)
async def test_every_class_of_error_is_known_by_its_kind(
    status: int, body: dict[str, Any], kind: type[ProviderError], *, moves_on: bool
) -> None:
    error = await error_of(saying(body, status=status, headers={"Location": "http://127.0.0.1:1/"}))
    assert type(error) is kind
    assert (error.moves_on, error.may_have_billed) == (moves_on, False)
    if body:
        assert body["error"]["message"] in error.detail


async def test_the_wait_that_the_service_asks_for_is_told() -> None:
    body = fault(429, "RESOURCE_EXHAUSTED", "slow", RETRY_INFO)
    assert (await error_of(saying(body, status=429))).retry_after_seconds == 3600


async def test_a_gateways_time_out_may_have_been_billed() -> None:
    assert (await error_of(saying(b"<html>504</html>", status=504))).may_have_billed


async def test_closing_the_generator_closes_the_connection() -> None:
    async with (
        services.service(services.silent) as fake,
        provider_at("gemini", FLASH, fake.url) as far,
    ):
        request = await services.resolved(far)
        async with aclosing(far.generate(request)) as events:
            assert isinstance(await anext(events), Started)
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.wait_for(fake.heard.wait(), 5)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.wait_for(fake.hung_up.wait(), 5)


PAGES = (
    {
        "models": [
            {
                "name": f"models/{FLASH}",
                "displayName": "Flash",
                "supportedGenerationMethods": ["generateContent"],
            },
            {"name": "models/gemini-9-text", "supportedGenerationMethods": ["generateContent"]},
            {"name": "models/imagen-image", "supportedGenerationMethods": ["predict"]},
        ],
        "nextPageToken": "more&more",
    },
    {
        "models": [
            {
                "name": "models/gemini-nano-banana-2.1",
                "supportedGenerationMethods": ["generateContent"],
            }
        ]
    },
)


async def test_the_list_is_asked_for_page_by_page_and_kept_with_its_age() -> None:
    async with (
        services.service(*map(saying, PAGES)) as fake,
        provider_at("gemini", FLASH, fake.url) as far,
    ):
        first = await far.catalogue()
        again = await far.catalogue()
        assert len(fake.asked) == 2
        assert "pageToken=more%26more" in fake.asked[1].target
    assert [one.id for one in first.models] == [FLASH, "gemini-nano-banana-2.1"]
    assert again.models == first.models
    assert again.age_seconds is not None
    assert (first.problem, again.problem) == (None, None)


async def test_without_an_answer_a_short_known_list_stands_in_without_dead_models() -> None:
    async with (
        services.service(saying(b"", status=503)) as fake,
        provider_at("gemini", FLASH, fake.url) as far,
    ):
        found = await far.catalogue()
    assert found.age_seconds is None
    assert found.problem is not None
    ids = {one.id for one in found.models}
    assert {FLASH, PRO} <= ids
    assert not ids & {"gemini-2.5-flash-image", "gemini-3-pro-image-preview"}


async def test_check_really_asks_and_fails_with_a_wrong_key() -> None:
    bad = saying(fault(400, "INVALID_ARGUMENT", f"API key not valid: {services.KEY}"), status=400)
    async with (
        services.service(*map(saying, PAGES)) as fake,
        provider_at("gemini", FLASH, fake.url) as far,
    ):
        found = await far.check()
    assert [one.name for one in found.models] == ["Flash", "gemini-nano-banana-2.1"]
    assert found.balance is None
    async with services.service(bad) as fake, provider_at("gemini", FLASH, fake.url) as far:
        with pytest.raises(ProviderKeyError) as caught:
            await far.check()
    assert services.KEY not in str(caught.value)
    assert "[key]" in str(caught.value)


async def test_any_typed_id_is_taken_with_what_all_models_have() -> None:
    async with provider_at("gemini", "gemini-of-tomorrow-image", None) as far:
        [info] = await far.models()
        estimate = await far.estimate(await services.resolved(far))
    assert info.remote is not None
    assert info.remote.prices == ()
    assert info.remote.priced_on is None
    assert estimate.cost is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"negative_prompt": "rain"}, "does not take negative_prompt"),
        ({"num_inference_steps": 20}, "does not take num_inference_steps"),
        ({"image": services.source_id("image")}, "does not take image"),
        ({"options": {"quality": "high"}}, "no option 'quality'"),
        ({"options": {"image_size": "1k"}}, "no image_size '1k'"),
        ({"references": [services.source_id("image")] * 15}, "at most 14 references"),
        ({"seed": 2**31}, "more than the 2147483647"),
    ],
)
async def test_what_the_service_does_not_take_is_refused_by_name_before_any_cost(
    fields: dict[str, Any], words: str
) -> None:
    async with provider_at("gemini", PRO, None) as far:
        with pytest.raises(RequestRefusedError, match=words):
            await services.resolved(far, **fields)


async def test_pictures_stay_here_until_the_owner_allows_them() -> None:
    async with provider_at("gemini", PRO, None, takes_pictures=False) as far:
        request = await services.resolved(far, references=[services.source_id("image")])
        refusal = far.refusal(request)
    assert refusal is not None
    assert refusal.parameter == "references"
    assert "no pictures may be sent" in refusal.detail


async def test_a_connections_parameters_are_the_models_defaults() -> None:
    async with provider_at("gemini", PRO, None, parameters={"image_size": "4K"}) as far:
        request = await services.resolved(far)
        assert request.options["image_size"] == "4K"
        assert (await far.estimate(request)).cost == Money(micros=240_000)
    async with provider_at("gemini", PRO, None, parameters={"steps": 3}) as far:
        refusal = far.refusal(await services.resolved(far))
        assert refusal is not None
        assert "sets steps, which its model does not take" in refusal.detail


async def test_the_seconds_of_a_picture_are_learned() -> None:
    reply = saying(candidate(inline(picture())))
    async with services.service(reply) as fake, provider_at("gemini", FLASH, fake.url) as far:
        request = await services.resolved(far, num_images=2)
        assert (await far.estimate(request)).seconds is None
        await drawn(far)
        seconds = (await far.estimate(request)).seconds
    assert seconds is not None
    assert 0 < seconds < 10
