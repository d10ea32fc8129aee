"""OpenAI's images API, against a server that replays the forms of the `openai` SDK 3.52.

What is sent is checked with the SDK's own types; answers are made with them.
"""

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent, ImagesResponse
from openai.types.image_edit_params import ImageEditParamsNonStreaming
from openai.types.image_generate_params import (
    ImageGenerateParamsNonStreaming,
    ImageGenerateParamsStreaming,
)
from PIL import Image
from pydantic import TypeAdapter
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartParser

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
from server.domain.events import Event, Preview
from server.domain.money import Money
from server.pictures.recipe_file import read_recipe
from tests.providers import services
from tests.providers.services import b64, drawn, failures, picture, pictures, provider_at, saying

GPT2, GPT25 = "gpt-image-2", "gpt-image-2.5-flare"
LOCAL = "flux.1-dev"  # of a compatible server
USAGE = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    "output_tokens": 200,
    "total_tokens": 250,
}


def images(*files: bytes, usage: dict[str, Any] | None = None) -> dict[str, Any]:
    said = {"created": 1, "data": [{"b64_json": b64(one)} for one in files], "usage": usage}
    return ImagesResponse.model_validate(said).model_dump(mode="json", exclude_none=True)


def sent_as(form: Any, asked: services.Asked) -> dict[str, Any]:
    """Return the body, which the SDK's type knows in every field."""
    body: dict[str, Any] = asked.json
    known: dict[str, Any] = TypeAdapter(form).validate_python(body)
    assert known == body  # what the type does not have would be gone
    return body


async def form_of(asked: services.Asked) -> FormData:
    async def stream() -> AsyncIterator[bytes]:
        yield asked.body

    return await MultiPartParser(Headers(asked.headers), stream()).parse()  # type: ignore[arg-type]


async def asked_for(model: str, reply: services.Reply, **fields: Any) -> services.Asked:
    async with services.service(reply) as fake, provider_at("openai", model, fake.url) as far:
        await drawn(far, **fields)
        [asked] = fake.asked
        return asked


async def events_of(*replies: services.Reply, model: str = GPT2, **fields: Any) -> list[Event]:
    async with services.service(*replies) as fake, provider_at("openai", model, fake.url) as far:
        return await drawn(far, **fields)


async def error_of(reply: services.Reply, **fields: Any) -> ProviderError:
    found = failures(await events_of(reply, **fields))
    assert isinstance(found[0].error, ProviderError)
    return found[0].error


async def test_words_become_a_body_that_the_sdk_itself_would_send() -> None:
    asked = await asked_for(
        GPT25,
        saying(images(picture(), picture())),
        num_images=2,
        width=1536,
        height=864,
        format="jpeg",
        options={"quality": "xhigh", "background": "opaque", "complexity": "high"},
    )
    assert (asked.method, asked.target) == ("POST", "/v1/images/generations")
    assert asked.headers["authorization"] == f"Bearer {services.KEY}"
    assert sent_as(ImageGenerateParamsNonStreaming, asked) == {
        "model": GPT25,
        "prompt": "a red kite",
        "n": 2,
        "size": "1536x864",
        "quality": "xhigh",
        "background": "opaque",
        "moderation": "auto",
        "complexity": "high",
        "output_format": "png",
    }


async def test_a_compatible_server_is_sent_the_bare_minimum() -> None:
    asked = await asked_for(LOCAL, saying(images(picture())), width=512, height=512)
    assert asked.json == {
        "model": LOCAL,
        "prompt": "a red kite",
        "n": 1,
        "size": "512x512",
        "response_format": "b64_json",
    }


async def test_a_compatible_server_is_also_sent_what_its_connection_names() -> None:
    named = {"num_inference_steps": 20, "seed": 0, "clip": "l"}
    reply = saying(images(picture()))
    async with (
        services.service(reply) as fake,
        provider_at("openai", LOCAL, fake.url, parameters=named) as far,
    ):
        [found] = pictures(await drawn(far, seed=9, num_inference_steps=4, options={"clip": "g"}))
        await drawn(far)
        first, second = (asked.json for asked in fake.asked)
    assert (first["num_inference_steps"], first["seed"], first["clip"]) == (4, 9, "g")
    assert (second["num_inference_steps"], second["clip"]) == (20, "l")
    assert found.recipe.num_inference_steps == 4
    assert found.recipe.remote is not None
    assert found.recipe.remote.seeded
    assert dict(found.recipe.options) == {"clip": "g"}


async def test_pictures_have_their_true_size_their_part_of_the_cost_and_a_recipe() -> None:
    reply = saying(images(picture(96, 64), picture(64, 96), usage=USAGE))
    found = pictures(await events_of(reply, num_images=2))
    assert [(one.width, one.height) for one in found] == [(96, 64), (64, 96)]
    # 10 x 5 + 40 x 8 + 200 x 30 dollars a million
    costs = [one.cost for one in found]
    assert costs == [Money(micros=3185), Money(micros=3185)]
    recipe = read_recipe(found[1].data)
    assert (recipe.width, recipe.height) == (64, 96)
    assert recipe.remote is not None
    assert not recipe.remote.seeded


async def test_without_tokens_the_price_list_says_the_cost_or_nobody_does() -> None:
    known: dict[str, Any] = {"width": 1024, "height": 1024, "options": {"quality": "low"}}
    [listed] = pictures(await events_of(saying(images(picture())), **known))
    [unlisted] = pictures(await events_of(saying(images(picture()))))
    assert (listed.cost, unlisted.cost) == (Money(micros=6000), None)


async def test_an_edit_is_a_form_with_pictures_and_a_mask_turned_into_theirs() -> None:
    asked = await asked_for(
        GPT2,
        saying(images(picture())),
        image=services.source_id("image"),
        mask=services.source_id("mask"),
        references=[services.source_id("image")],
        width=1024,
        height=1024,
    )
    form = await form_of(asked)
    assert asked.target == "/v1/images/edits"
    assert [name for name, _ in form.multi_items() if "image" in name] == ["image[]", "image[]"]
    texts = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    assert texts == {
        "model": GPT2,
        "prompt": "a red kite",
        "n": "1",
        "size": "1024x1024",
        "quality": "auto",
        "background": "auto",
        "output_format": "png",
    }
    assert set(texts) <= set(ImageEditParamsNonStreaming.__annotations__)
    mask = form["mask"]
    assert isinstance(mask, UploadFile)
    theirs = Image.open(io.BytesIO(await mask.read()))
    assert (theirs.format, theirs.mode, theirs.size) == ("PNG", "RGBA", (80, 40))
    # Ours was white everywhere: drawn anew, which theirs says with transparency.
    assert theirs.getchannel("A").getextrema() == (0, 0)
    await form.close()


async def test_one_picture_to_change_is_sent_as_image() -> None:
    asked = await asked_for(LOCAL, saying(images(picture())), image=services.source_id("image"))
    form = await form_of(asked)
    assert [name for name, value in form.multi_items() if isinstance(value, UploadFile)] == [
        "image"
    ]
    await form.close()


async def test_an_address_of_the_same_server_is_fetched_from_it() -> None:
    file = picture(40, 40)

    async def answer(asked: services.Asked, writer: Any) -> None:
        if asked.method == "POST":
            url = f"http://{asked.headers['host']}/generated/1.png"
            await saying({"created": 1, "data": [{"url": url}]})(asked, writer)
        else:
            await saying(file, kind="image/png")(asked, writer)

    [found] = pictures(await events_of(answer, model=LOCAL))
    assert found.width == 40


async def test_an_address_elsewhere_in_a_private_network_is_not_fetched() -> None:
    async with services.service(saying(picture(), kind="image/png")) as inside:
        data = {"created": 1, "data": [{"url": f"{inside.url}/secret.png"}]}
        error = await error_of(saying(data), model=LOCAL)
        assert inside.asked == []
    assert isinstance(error, ProviderAnswerError)
    assert "not a public address" in error.detail
    assert error.may_have_billed


async def test_a_data_address_is_a_picture() -> None:
    data = {"created": 1, "data": [{"url": f"data:image/png;base64,{b64(picture())}"}]}
    assert len(pictures(await events_of(saying(data), model=LOCAL))) == 1


async def test_fewer_pictures_than_asked_for_are_kept_and_the_rest_failed() -> None:
    events = await events_of(saying(images(picture())), num_images=3)
    assert [one.index for one in pictures(events)] == [0]
    assert [one.index for one in failures(events)] == [1, 2]
    assert "sent 1 of 3 pictures" in str(failures(events)[0].error)


async def test_more_pictures_than_asked_for_are_left() -> None:
    assert len(pictures(await events_of(saying(images(*[picture()] * 5))))) == 1


async def test_a_broken_picture_fails_alone() -> None:
    reply = saying(images(picture(), b"no picture", picture()))
    events = await events_of(reply, num_images=3)
    assert [one.index for one in pictures(events)] == [0, 2]
    [failed] = failures(events)
    assert failed.index == 1
    assert isinstance(failed.error, ProviderAnswerError)
    assert failed.error.may_have_billed


async def test_transparency_is_kept_where_the_format_has_it() -> None:
    clear = picture(32, 32, "#11223300")
    asked: dict[str, Any] = {"options": {"background": "transparent"}, "format": "webp"}
    [found] = pictures(await events_of(saying(images(clear)), **asked))
    assert Image.open(io.BytesIO(found.data)).mode == "RGBA"
    async with provider_at("openai", GPT2, None) as far:
        request = await services.resolved(far, **{**asked, "format": "jpeg"})
        refusal = far.refusal(request)
    assert refusal is not None
    assert refusal.parameter == "format"


def fault(message: str, kind: str = "", code: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code or None}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "moves_on"),
    [
        (400, fault("bad size", "invalid_request_error"), ProviderRequestError, False),
        (
            400,
            fault("blocked", "image_generation_user_error", "moderation_blocked"),
            ProviderRefusedError,
            False,
        ),
        (400, fault("policy", code="content_policy_violation"), ProviderRefusedError, False),
        (400, fault("gone", code="model_not_found"), ProviderModelGoneError, True),
        (401, fault("wrong key", code="invalid_api_key"), ProviderKeyError, True),
        (403, fault("verify your organisation"), ProviderKeyError, True),
        (404, fault("no model", code="model_not_found"), ProviderModelGoneError, True),
        (429, fault("slow", code="rate_limit_exceeded"), ProviderRateLimitedError, True),
        (429, fault("used up", code="insufficient_quota"), ProviderQuotaError, True),
        (402, {"error": "Insufficient balance"}, ProviderQuotaError, True),
        (500, fault("oops"), ProviderUnreachableError, True),
        (503, {"detail": "loading"}, ProviderUnreachableError, True),
        (413, fault("too much"), ProviderRequestError, False),
    ],
)
async def test_every_class_of_error_is_known_by_its_kind(
    status: int, body: dict[str, Any], kind: type[ProviderError], *, moves_on: bool
) -> None:
    error = await error_of(saying(body, status=status))
    assert type(error) is kind
    assert (error.moves_on, error.may_have_billed) == (moves_on, False)


async def test_an_account_without_money_is_not_waited_for() -> None:
    reply = saying(
        fault("used up", code="insufficient_quota"), status=429, headers={"Retry-After": "0"}
    )
    async with services.service(reply) as fake, provider_at("openai", GPT2, fake.url) as far:
        await drawn(far)
        assert len(fake.asked) == 1


# ---- streams ----


def event(kind: str, **data: Any) -> bytes:
    shared = {
        "background": "opaque",
        "created_at": 1,
        "output_format": "png",
        "quality": "low",
        "size": "64x48",
    }
    form = ImageGenPartialImageEvent if kind.endswith("partial_image") else ImageGenCompletedEvent
    said = form.model_validate({"type": kind, **shared, **data}).model_dump(mode="json")
    return f"event: {kind}\ndata: {json.dumps(said)}\n\n".encode()


def stream(partials: int = 2) -> bytes:
    shown = [
        event(
            "image_generation.partial_image", b64_json=b64(picture(600, 450)), partial_image_index=i
        )
        for i in range(partials)
    ]
    return b"".join(
        [*shown, event("image_generation.completed", b64_json=b64(picture()), usage=USAGE)]
    )


async def test_partial_images_are_shown_small_while_it_draws() -> None:
    asked = {"options": {"partial_images": 2}}
    async with (
        services.service(services.in_pieces(stream())) as fake,
        provider_at("openai", GPT2, fake.url) as far,
    ):
        events = await drawn(far, num_images=2, **asked)
        bodies = [sent_as(ImageGenerateParamsStreaming, one) for one in fake.asked]
    assert [(body["n"], body["stream"], body["partial_images"]) for body in bodies] == [
        (1, True, 2),
        (1, True, 2),
    ]
    shown = [one for one in events if isinstance(one, Preview)]
    assert [one.index for one in shown] == [0, 0, 1, 1]
    small = Image.open(io.BytesIO(shown[0].data))
    assert (small.format, small.size) == ("JPEG", (512, 384))
    assert [one.cost for one in pictures(events)] == [Money(micros=6370)] * 2


async def test_a_server_that_knows_no_streams_may_answer_as_ever() -> None:
    events = await events_of(saying(images(picture())), options={"partial_images": 1})
    assert len(pictures(events)) == 1


async def test_a_broken_preview_does_not_cost_the_picture() -> None:
    broken = event("image_generation.partial_image", b64_json="?", partial_image_index=0)
    reply = services.in_pieces(broken + stream(0))
    events = await events_of(reply, options={"partial_images": 1})
    assert [type(one).__name__ for one in events] == ["Started", "Picture"]


REFUSED = {"type": "error", **fault("no", code="moderation_blocked")}
REFUSED_EVENT = b"data: " + json.dumps(REFUSED).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("body", "kind", "billed"),
    [
        (stream(1)[:-400], ProviderAnswerError, True),
        (b"", ProviderAnswerError, True),
        (b"data: [DONE]\n\n", ProviderAnswerError, True),
        (b"data: {broken\n\n", ProviderAnswerError, True),
        (
            REFUSED_EVENT,
            ProviderRefusedError,
            False,
        ),
    ],
)
async def test_a_stream_that_ends_otherwise_is_an_error(
    body: bytes, kind: type[ProviderError], *, billed: bool
) -> None:
    error = await error_of(services.in_pieces(body), options={"partial_images": 1})
    assert (type(error), error.may_have_billed) == (kind, billed)


# ---- lists, checks, refusals ----


async def test_openais_list_is_read_for_models_that_make_pictures() -> None:
    listed = {"object": "list", "data": [{"id": GPT2}, {"id": "gpt-7"}, {"id": "a b"}]}
    reply = saying(listed, headers={"x-ratelimit-limit-requests": "50"})
    async with services.service(reply) as fake, provider_at("openai", GPT2, fake.url) as far:
        found = await far.check()
        assert fake.asked[0].target == "/v1/models"
    # With an address of its own it is a compatible server, whose every model may draw.
    assert [one.id for one in found.models] == [GPT2, "gpt-7"]
    assert found.limits == ("50 requests a minute",)


async def test_a_compatible_server_without_a_list_is_no_failure() -> None:
    async with (
        services.service(saying(b"404", status=404)) as fake,
        provider_at("openai", LOCAL, fake.url) as far,
    ):
        limits = (await far.check()).limits
    assert limits == ("This server lists no models, so the key was not tried.",)


async def test_check_fails_with_a_wrong_key() -> None:
    reply = saying(fault(f"Incorrect API key provided: {services.KEY}"), status=401)
    async with services.service(reply) as fake, provider_at("openai", GPT2, fake.url) as far:
        with pytest.raises(ProviderKeyError) as caught:
            await far.check()
    assert services.KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "fields", "words"),
    [
        (GPT2, {"seed": 5}, "takes no seed"),
        (GPT2, {"negative_prompt": "rain"}, "does not take negative_prompt"),
        (GPT2, {"options": {"quality": "max"}}, "no quality 'max'"),
        (GPT2, {"options": {"input_fidelity": "high"}}, "no option 'input_fidelity'"),
        (GPT2, {"width": 1208, "height": 1024}, "not a multiple of 16"),
        (GPT2, {"width": 3200, "height": 512}, "longer than 3:1"),
        (GPT2, {"width": 3840, "height": 2176}, "more than the 8294400 pixels"),
        (LOCAL, {"seed": 5}, "takes no seed"),
        (LOCAL, {"num_inference_steps": 5}, "does not take num_inference_steps"),
        (LOCAL, {"options": {"quality": "high"}}, "no option 'quality'; it has none"),
    ],
)
async def test_what_a_model_does_not_take_is_refused_by_name(
    model: str, fields: dict[str, Any], words: str
) -> None:
    async with provider_at("openai", model, None) as far:
        with pytest.raises(RequestRefusedError, match=words):
            await services.resolved(far, **fields)


async def test_an_older_model_draws_the_nearest_of_its_three_sizes() -> None:
    async with provider_at("openai", "gpt-image-1.5", None) as far:
        request = await services.resolved(far, width=1920, height=1080)
        assert (request.width, request.height) == (1536, 1024)
        refusal = far.refusal(await services.resolved(far, options={"input_fidelity": "high"}))
    assert refusal is not None
    assert refusal.parameter == "options"


async def test_what_an_edit_cannot_be_sent_is_refused_and_never_dropped() -> None:
    async with provider_at("openai", GPT2, None, takes_pictures=True) as far:
        edit = await services.resolved(far, references=("0" * 26,), options={"moderation": "low"})
        refusal = far.refusal(edit)
        assert refusal is not None
        assert (refusal.parameter, "moderation" in refusal.detail) == ("options", True)
        assert far.refusal(await services.resolved(far, references=("0" * 26,))) is None
        assert far.refusal(await services.resolved(far, options={"moderation": "low"})) is None


async def test_no_dead_model_is_offered_where_the_list_is_out_of_reach() -> None:
    async with provider_at("openai", GPT2, "http://127.0.0.1:1") as far:
        assert [one.id for one in (await far.catalogue()).models] == [GPT2]
