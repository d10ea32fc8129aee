from datetime import UTC, datetime

import pytest

from server.cli.recipes import options_again
from server.domain.images import ImageFormat, ImageRequest, Profile
from server.domain.recipes import Engine, Recipe

RECIPE = Recipe(
    model="scribble-xl",
    fingerprint="0" * 64,
    prompt="a fox, ink",
    negative_prompt="blurry",
    width=256,
    height=128,
    seed=8,
    num_inference_steps=4,
    guidance_scale=5.0,
    true_cfg_scale=None,
    scheduler="euler",
    max_sequence_length=None,
    image=None,
    strength=None,
    format=ImageFormat.WEBP,
    profile="exact",
    engine=Engine(greenroom="0.1.0", torch="2.13.0", diffusers="0.42.1", device="cpu", dtype="f"),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
ALL = frozenset({"negative_prompt", "num_inference_steps", "guidance_scale", "scheduler"})


def test_a_recipe_becomes_the_request_that_draws_it_again() -> None:
    request = ImageRequest.model_validate(options_again(RECIPE, ALL, {}))
    for name in ("model", "prompt", "negative_prompt", "width", "height", "seed", "format"):
        assert getattr(request, name) == getattr(RECIPE, name)
    assert request.scheduler == "euler"
    assert request.guidance_scale == 5.0


def test_what_the_model_has_no_choice_in_is_not_asked_for() -> None:
    again = options_again(RECIPE, ALL - {"scheduler"}, {})
    assert "scheduler" not in again


@pytest.mark.parametrize("change", [{"seed": 9}, {"prompt": "a hare"}, {"width": 512}])
def test_typed_options_win(change: dict[str, object]) -> None:
    again = options_again(RECIPE, ALL, change)
    assert again.items() >= change.items()


def test_a_shape_replaces_the_size() -> None:
    again = options_again(RECIPE, ALL, {"aspect_ratio": "1:1"})
    assert again["aspect_ratio"] == "1:1"
    assert not {"width", "height"} & set(again)


def test_what_a_picture_was_widened_and_conditioned_by_is_asked_for_again() -> None:
    more = {
        "image": "0" * 64,
        "mask": "1" * 64,
        "outpaint": {"left": 0.5},
        "clip_skip": 1,
        "target_size": (64, 96),
    }
    recipe = Recipe.model_validate({**RECIPE.model_dump(), **more})
    again = options_again(recipe, frozenset({*ALL, *more}), {})
    assert not {"image", "mask", "references"} & set(again)
    request = ImageRequest.model_validate(again)
    assert (request.clip_skip, request.target_size) == (1, (64, 96))
    assert request.outpaint == recipe.outpaint


def test_a_profile_is_asked_for_again_where_the_model_offers_one() -> None:
    fast = RECIPE.model_copy(update={"profile": Profile.FAST, "plan": "fast, block cache"})
    assert options_again(fast, ALL | {"profile"}, {})["profile"] == "fast"
    assert "profile" not in options_again(fast, ALL, {})
