"""What a remote model declares decides what a request of it may say."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from server.domain.connections import ProviderKind
from server.domain.errors import RequestRefusedError
from server.domain.images import ImageFormat, ImageRequest, ResolvedRequest
from server.domain.models import (
    Family,
    ModelInfo,
    ParameterInfo,
    RemoteTerms,
    Size,
    SizeRule,
    Task,
)
from server.domain.recipes import Recipe, RemoteEngine, parameters_text
from server.domain.resolve import resolve
from server.domain.work import denoising_steps, flops
from tests.domain.test_resolve import MODEL as LOCAL
from tests.store.values import a_recipe

DRAWN = 2**40 + 3


def option(name: str, kind: str, **limits: Any) -> ParameterInfo:
    blank = {"default": None, "minimum": None, "maximum": None, "step": None}
    said = {"name": name, "type": kind, "options": (), "description": "", **blank, **limits}
    return ParameterInfo.model_validate(said)


TERMS = RemoteTerms(
    service="gemini",
    service_model="painter-9",
    options=(
        option("image_size", "choice", default="1K", options=("1K", "2K", "4K")),
        option("effort", "integer", minimum=1, maximum=5),
        option("tone", "string"),
    ),
    size_rule=SizeRule.NEAREST,
    longest_shape=None,
    scales={"1K": 1, "2K": 2, "4K": 4},
    max_seed=2**31 - 1,
    images_per_call=1,
    prices=(),
    token_prices=None,
    priced_on=date(2026, 11, 20),
)
PAINTER = ModelInfo(
    id="painter",
    name="Painter",
    family=Family.REMOTE,
    task=Task.TEXT,
    provider="gemini",
    description="",
    specialties=(),
    licence="",
    gated=False,
    demonstration=False,
    needs_vram_gib=None,
    parameters=(),
    sizes=(
        Size(width=1024, height=1024, aspect_ratio="1:1"),
        Size(width=1376, height=768, aspect_ratio="16:9"),
        Size(width=768, height=1376, aspect_ratio="9:16"),
    ),
    size_multiple=8,
    max_pixels=2**24,
    styles=(),
    remote=TERMS,
)


def changed(**terms: Any) -> ModelInfo:
    return PAINTER.model_copy(update={"remote": TERMS.model_copy(update=terms)})


def resolved(model: ModelInfo = PAINTER, **fields: Any) -> ResolvedRequest:
    return resolve(ImageRequest(prompt="a fox", **fields), model, seed=DRAWN)


def test_a_model_without_steps_resolves_to_none_of_them() -> None:
    request = resolved()
    assert (request.num_inference_steps, request.scheduler) == (None, None)
    assert denoising_steps(request) == 1
    assert flops(Family.REMOTE, request) == 0
    with pytest.raises(ValueError, match="'painter' does not draw by steps"):
        _ = request.steps


def test_options_are_filled_in_and_kept() -> None:
    request = resolved(options={"effort": 3})
    assert dict(request.options) == {"image_size": "1K", "effort": 3}
    again = ResolvedRequest.model_validate_json(request.model_dump_json())
    assert again == request


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quality": "high"}, "no option 'quality'; it has image_size, effort, tone"),
        ({"image_size": "8K"}, "no image_size '8K'; it has 1K, 2K, 4K"),
        ({"image_size": 2}, "image_size '2' is not what model 'painter' takes"),
        ({"effort": 6}, "effort 6 is outside what model 'painter' takes: 1 to 5"),
        ({"effort": 1.5}, "a whole number"),
        ({"effort": True}, "a whole number"),
        ({"tone": 3}, "a text"),
    ],
)
def test_an_option_is_honoured_or_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestRefusedError, match=words) as caught:
        resolved(options=options)
    assert caught.value.parameter == "options"


def test_a_model_that_is_drawn_here_takes_no_options() -> None:
    with pytest.raises(RequestRefusedError, match="no option 'quality'; it has none"):
        resolved(LOCAL, options={"quality": "high"})


@pytest.mark.parametrize("value", [float("nan"), [1], {"a": 1}, None, "x" * 2001, "\0"])
def test_an_options_value_is_a_short_text_a_number_or_a_truth(value: Any) -> None:
    with pytest.raises(ValidationError):
        ImageRequest(prompt="a fox", options={"tone": value})


def test_options_cannot_be_changed_behind_a_requests_back() -> None:
    request = ImageRequest(prompt="a fox", options={"tone": "warm"})
    with pytest.raises(TypeError):
        request.options["tone"] = "cold"  # type: ignore[index]


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ({}, (1024, 1024, "1K")),
        ({"aspect_ratio": "16:9"}, (1376, 768, "1K")),
        ({"aspect_ratio": "16:9", "options": {"image_size": "4K"}}, (5504, 3072, "4K")),
        ({"width": 1920, "height": 1080}, (1376, 768, "1K")),
        ({"width": 2048, "height": 2048}, (2048, 2048, "2K")),
        ({"width": 2048, "height": 2048, "options": {"image_size": "1K"}}, (1024, 1024, "1K")),
        ({"width": 512, "height": 1000}, (768, 1376, "1K")),
    ],
)
def test_a_size_becomes_the_nearest_declared_shape_and_scale(
    asked: dict[str, Any], drawn: tuple[int, int, str]
) -> None:
    request = resolved(**asked)
    assert (request.width, request.height, request.options["image_size"]) == drawn


def test_a_model_that_draws_any_size_refuses_shapes_that_are_too_long() -> None:
    free = changed(size_rule=SizeRule.ANY, scales={}, longest_shape=3, options=())
    assert resolved(free, width=1200, height=400).width == 1200
    with pytest.raises(RequestRefusedError, match="1208 x 400 is longer than 3:1"):
        resolved(free, width=1208, height=400)


def test_a_drawn_seed_fits_the_service_and_an_asked_one_is_kept_or_refused() -> None:
    assert resolved().seed + 3 <= 2**31 - 1
    assert resolved(seed=2**31 - 2, num_images=2).seed == 2**31 - 2
    with pytest.raises(RequestRefusedError, match="more than the 2147483647") as caught:
        resolved(seed=2**31 - 2, num_images=3)
    assert caught.value.parameter == "seed"


def test_a_service_without_seeds_refuses_one_by_name() -> None:
    assert resolved(changed(max_seed=None)).seed == DRAWN
    with pytest.raises(RequestRefusedError, match="'painter' takes no seed"):
        resolved(changed(max_seed=None), seed=1)


def test_a_remote_recipe_names_the_service_and_reads_back() -> None:
    recipe = a_recipe().model_copy(
        update={
            "num_inference_steps": None,
            "scheduler": None,
            "fingerprint": None,
            "engine": None,
            "options": {"image_size": "2K"},
            "remote": RemoteEngine(
                provider=ProviderKind.GEMINI, model="painter-9", seeded=True, greenroom="0.1.0"
            ),
            "created_at": datetime(2026, 11, 20, tzinfo=UTC),
            "format": ImageFormat.WEBP,
        }
    )
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    text = parameters_text(recipe).splitlines()[-1]
    assert text == "CFG scale: 5.5, Seed: 7, Size: 64x64, Model: scribble-xl, " + (
        "Version: greenroom 0.1.0"
    )


def test_a_recipe_of_an_earlier_version_reads_as_it_was() -> None:
    said = a_recipe().model_dump(mode="json", exclude={"options", "remote"})
    assert Recipe.model_validate(said) == a_recipe()
