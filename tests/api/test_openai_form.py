"""OpenAI's form of a request, without a server: honoured or refused, nothing dropped."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.image_edit_params import (
    ImageEditParamsNonStreaming,
    ImageEditParamsStreaming,
)
from openai.types.image_generate_params import (
    ImageGenerateParamsNonStreaming,
    ImageGenerateParamsStreaming,
)

from server.api.openai_fields import nested
from server.api.openai_form import EditsForm, ImagesForm, image_request, quality_of
from server.domain.errors import AppError, InvalidRequestError, RequestRefusedError
from server.domain.images import ImageRequest
from server.domain.models import (
    Family,
    ModelInfo,
    ModelState,
    ParameterInfo,
    RemoteTerms,
    Size,
    SizeRule,
    Task,
)
from server.services.views import ModelView, model_view


def parameter(name: str, default: float, low: float, high: float) -> ParameterInfo:
    return ParameterInfo(
        name=name,
        type="integer",
        default=default,
        minimum=low,
        maximum=high,
        step=1,
        options=(),
        description=name,
    )


def model(*parameters: ParameterInfo) -> ModelView:
    info = ModelInfo(
        id="painter",
        name="Painter",
        family=Family.SDXL,
        task=Task.TEXT,
        provider="local",
        description="",
        specialties=(),
        licence="apache-2.0",
        gated=False,
        demonstration=False,
        needs_vram_gib=None,
        parameters=parameters,
        sizes=(
            Size(width=1024, height=1024, aspect_ratio="1:1"),
            Size(width=1216, height=832, aspect_ratio="3:2"),
        ),
        size_multiple=16,
        max_pixels=1_500_000,
        styles=(),
    )
    return model_view(info, ModelState.READY, None, loaded=True, is_default=True, pull=None)


PAINTER = model(parameter("num_inference_steps", 30, 4, 50))


def asked(_painter: ModelView = PAINTER, **fields: Any) -> ImageRequest:
    return image_request(ImagesForm.model_validate({"prompt": "a fox", **fields}), _painter)


def test_a_prompt_alone_leaves_all_to_the_model() -> None:
    assert asked() == ImageRequest(prompt="a fox", model="painter")


def test_every_field_of_the_sdk_is_known() -> None:
    fields = ImageGenerateParamsNonStreaming.__annotations__ | (
        ImageGenerateParamsStreaming.__annotations__
    )
    assert {"prompt", "size", "stream"} <= set(fields)
    assert set(fields) <= set(ImagesForm.model_fields)


def test_every_field_of_an_edit_of_the_sdk_is_known() -> None:
    fields = ImageEditParamsNonStreaming.__annotations__ | ImageEditParamsStreaming.__annotations__
    assert {"prompt", "size", "stream", "mask", "input_fidelity"} <= set(fields)
    assert set(fields) <= set(EditsForm.model_fields)


def test_fields_of_a_multipart_body_are_what_json_would_say() -> None:
    sent = [
        ("n", "2"),
        ("stream", ""),
        ("target_size[]", "64"),
        ("target_size[]", "96"),
        ("outpaint[left]", "0.5"),
        ("outpaint[top]", "1"),
        ("odd[", "x"),
    ]
    assert nested(sent) == {
        "n": "2",
        "target_size": ["64", "96"],
        "outpaint": {"left": "0.5", "top": "1"},
        "odd[": "x",
    }


@pytest.mark.parametrize("names", [("n", "n"), ("a[b]", "a[b]"), ("a", "a[]"), ("a[b]", "a[]")])
def test_a_field_that_stands_twice_is_refused(names: tuple[str, str]) -> None:
    with pytest.raises(InvalidRequestError, match="stands twice") as caught:
        nested((name, "1") for name in names)
    assert caught.value.parameter == names[1]


def test_null_is_as_good_as_absent() -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        set(ImagesForm.model_fields) - set(ImageRequest.model_fields)
    )
    assert asked(**nothing, model=None, style=None) == asked()


def test_openais_names_become_ours() -> None:
    request = asked(n=3, size="1216x832", output_format="webp", model="dall-e-3")
    assert request == ImageRequest(
        prompt="a fox", model="painter", num_images=3, width=1216, height=832, format="webp"
    )


def test_every_field_of_a_job_works_too() -> None:
    extra: dict[str, Any] = {
        "seed": 7,
        "negative_prompt": "blurry",
        "guidance_scale": 5.0,
        "priority": "low",
    }
    assert asked(**extra) == ImageRequest.model_validate(
        {"prompt": "a fox", "model": "painter", **extra}
    )


@pytest.mark.parametrize("size", ["auto", None])
def test_auto_is_the_models_own_size(size: str | None) -> None:
    assert asked(size=size).width is None


def test_a_size_that_is_not_declared_works_where_the_model_can() -> None:
    assert (asked(size="512x768").width, asked(size="512x768").height) == (512, 768)


@pytest.mark.parametrize("size", ["1000x1000", "1024x1792", "2048x2048"])
def test_a_size_the_model_does_not_draw_lists_those_it_does(size: str) -> None:
    with pytest.raises(RequestRefusedError, match="1024x1024, 1216x832") as caught:
        asked(size=size)
    assert caught.value.parameter == "size"


def test_a_size_beyond_every_model_is_refused_not_a_crash() -> None:
    with pytest.raises(InvalidRequestError):
        asked(size="8192x16")


@pytest.mark.parametrize(
    ("quality", "steps", "said"),
    [
        (None, None, "medium"),
        ("auto", None, "medium"),
        ("standard", None, "medium"),
        ("medium", None, "medium"),
        ("low", 15, "low"),
        ("high", 45, "high"),
        ("hd", 45, "high"),
        ("xhigh", 50, "xhigh"),
        ("max", 50, "max"),
    ],
)
def test_quality_is_a_number_of_steps(quality: str | None, steps: int | None, said: str) -> None:
    assert asked(quality=quality).num_inference_steps == steps
    assert quality_of(ImagesForm.model_validate({"prompt": "x", "quality": quality})) == said


def test_a_model_of_few_steps_keeps_at_least_its_least() -> None:
    turbo = model(parameter("num_inference_steps", 2, 1, 4))
    assert asked(turbo, quality="low").num_inference_steps == 1
    assert asked(turbo, quality="max").num_inference_steps == 4


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"quality": "high", "num_inference_steps": 9}, "quality"),
        ({"n": 2, "num_images": 2}, "n"),
        ({"output_format": "png", "format": "webp"}, "output_format"),
        ({"size": "512x512", "width": 512}, "size"),
        ({"size": "512x512", "aspect_ratio": "1:1"}, "size"),
        ({"background": "transparent"}, "background"),
        ({"partial_images": 1}, "partial_images"),
        ({"stream": True, "n": 2}, "n"),
        ({"stream": True, "num_images": 2}, "n"),
        ({"stream": True, "response_format": "url"}, "response_format"),
        ({"output_compression": 50}, "output_compression"),
        ({"complexity": "low"}, "complexity"),
        ({"frame_count": 4}, "frame_count"),
        ({"frame_duration_ms": 100}, "frame_duration_ms"),
        ({"svg": {"model": "x"}}, "svg"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(fields: dict[str, Any], parameter: str) -> None:
    with pytest.raises(AppError) as caught:
        asked(**fields)
    assert isinstance(caught.value, RequestRefusedError)
    assert caught.value.parameter == parameter


def test_a_model_without_steps_knows_one_quality() -> None:
    with pytest.raises(RequestRefusedError, match="one quality"):
        asked(model(), quality="high")
    assert asked(model(), quality="medium") == asked(model())


def test_harmless_words_are_taken() -> None:
    words: dict[str, Any] = {
        "moderation": "low",
        "user": "u1",
        "safety_identifier": "s1",
        "background": "opaque",
    }
    assert asked(**words, partial_images=0, stream=False, response_format="url") == asked()


def remote(rule: SizeRule, *options: str) -> ModelView:
    terms = RemoteTerms(
        service="openai",
        service_model="far",
        options=tuple(parameter(name, 0, 0, 0) for name in options),
        size_rule=rule,
        longest_shape=None,
        scales={},
        max_seed=None,
        images_per_call=1,
        prices=(),
        token_prices=None,
        priced_on=None,
    )
    return model().model_copy(update={"remote": terms})


def test_a_remote_models_own_quality_is_what_quality_means() -> None:
    far = remote(SizeRule.ANY, "quality", "moderation")
    request = asked(far, quality="high", moderation="low", options={"tone": "warm"})
    assert dict(request.options) == {"quality": "high", "moderation": "low", "tone": "warm"}
    assert request.num_inference_steps is None
    assert dict(asked(remote(SizeRule.ANY), moderation="low").options) == {}


def test_a_model_that_draws_the_nearest_size_takes_any() -> None:
    request = asked(remote(SizeRule.NEAREST), size="1792x1024")
    assert (request.width, request.height) == (1792, 1024)
