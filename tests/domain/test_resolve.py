from typing import Any

import pytest

from server.domain.errors import RequestRefusedError
from server.domain.images import ImageRequest, Profile, ResolvedRequest
from server.domain.models import Family, ModelInfo, ParameterInfo, Size, Style, Task
from server.domain.resolve import resolve
from server.domain.sizes import SourcePixels


def parameter(name: str, default: Any, **limits: Any) -> ParameterInfo:
    blank = {"minimum": None, "maximum": None, "step": None, "options": (), "description": ""}
    kind = "choice" if "options" in limits else "number"
    return ParameterInfo.model_validate(
        {"name": name, "type": kind, "default": default, **blank, **limits}
    )


MODEL = ModelInfo(
    id="demo",
    name="Demo",
    family=Family.SDXL,
    task=Task.TEXT,
    provider="local",
    description="",
    specialties=(),
    licence="Apache-2.0",
    gated=False,
    demonstration=True,
    needs_vram_gib=None,
    parameters=(
        parameter("num_inference_steps", 20, minimum=1, maximum=50),
        parameter("guidance_scale", 5.0, minimum=0, maximum=20),
        parameter("negative_prompt", None),
        parameter("scheduler", "euler", options=("euler", "ddim")),
        parameter("image", None, type="image"),
        parameter("strength", 0.8, minimum=0.05, maximum=1),
        parameter("mask", None, type="image"),
        parameter("outpaint", None, type="outpaint"),
        parameter("target_size", None, type="pair"),
        parameter("negative_original_size", None, type="pair"),
        parameter("negative_crops_coords_top_left", None, type="pair"),
        parameter("negative_target_size", None, type="pair"),
    ),
    sizes=(
        Size(width=64, height=64, aspect_ratio="1:1"),
        Size(width=96, height=56, aspect_ratio="16:9"),
    ),
    size_multiple=8,
    max_pixels=128 * 128,
    styles=(Style(id="ink", name="Ink", prompt="{prompt}, ink drawing", negative_prompt="photo"),),
)


FILL = MODEL.model_copy(
    update={
        "task": Task.FILL,
        "parameters": (
            *(p for p in MODEL.parameters if p.name != "strength"),
            parameter("strength", 0.99, minimum=0.05, maximum=1),
        ),
    }
)
EDIT = MODEL.model_copy(
    update={
        "task": Task.EDIT,
        "parameters": (
            parameter("num_inference_steps", 20, minimum=1, maximum=50),
            parameter("references", None, type="images", maximum=2),
        ),
    }
)
IMAGE, MASK, OTHER = (f"01bx5zzkbkactav9wevgemmvr{letter}" for letter in "xyz")
WIDE, TALL = (1600, 900), (900, 1600)


def resolved(
    _model: ModelInfo = MODEL, _given: SourcePixels | None = None, **asked: Any
) -> ResolvedRequest:
    return resolve(ImageRequest(prompt="a fox", **asked), _model, seed=7, given=_given)


def refused(
    _model: ModelInfo = MODEL, _given: SourcePixels | None = None, **asked: Any
) -> RequestRefusedError:
    with pytest.raises(RequestRefusedError) as caught:
        resolved(_model, _given, **asked)
    return caught.value


def test_what_is_absent_becomes_the_models_default() -> None:
    result = resolved()
    assert (result.width, result.height, result.seed) == (64, 64, 7)
    assert (result.num_inference_steps, result.guidance_scale) == (20, 5.0)
    assert result.scheduler == "euler"
    assert result.true_cfg_scale is None
    assert result.strength is None


def test_what_is_given_stays() -> None:
    result = resolved(seed=3, num_inference_steps=4, scheduler="ddim", aspect_ratio="16:9")
    assert (result.seed, result.num_inference_steps, result.scheduler) == (3, 4, "ddim")
    assert (result.width, result.height) == (96, 56)


def test_a_style_surrounds_the_prompt_and_adds_to_the_negative() -> None:
    result = resolved(style="ink", negative_prompt="blue")
    assert result.prompt == "a fox, ink drawing"
    assert result.negative_prompt == "blue, photo"


def test_a_prompt_with_braces_is_not_a_template() -> None:
    request = ImageRequest(prompt="a {prompt} {0}", style="ink")
    assert resolve(request, MODEL, seed=0).prompt == "a {prompt} {0}, ink drawing"


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"true_cfg_scale": 2.0}, "true_cfg_scale"),
        ({"num_inference_steps": 51}, "1 to 50"),
        ({"scheduler": "best"}, "euler, ddim"),
        ({"style": "oil"}, "ink"),
        ({"aspect_ratio": "9:16"}, "1:1, 16:9"),
        ({"aspect_ratio": "1:1", "width": 64}, "not both"),
        ({"width": 64}, "go together"),
        ({"width": 4096, "height": 4096}, "pixels"),
        ({"strength": 0.5}, "strength needs an image"),
        ({"mask": MASK}, "mask needs an image"),
        ({"outpaint": {"left": 1}}, "outpaint needs an image"),
        ({"references": (IMAGE,)}, "does not take references"),
        ({"image": IMAGE, "mask": MASK, "references": (OTHER,)}, "does not take references"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(asked: dict[str, Any], named: str) -> None:
    assert named in refused(**asked).detail


@pytest.mark.parametrize("more", [{"mask": MASK}, {"outpaint": {"right": 0.5}}])
def test_what_is_masked_is_drawn_anew_in_full_unless_asked_otherwise(more: dict[str, Any]) -> None:
    assert resolved(image=IMAGE).strength == 0.8
    assert resolved(image=IMAGE, **more).strength == 1.0
    assert resolved(image=IMAGE, strength=0.4, **more).strength == 0.4
    assert resolved(FILL, image=IMAGE, **more).strength == 0.99


@pytest.mark.parametrize(
    ("given", "parameter"), [({}, "image"), ({"mask": MASK}, "image"), ({"image": IMAGE}, "mask")]
)
def test_a_model_that_repaints_needs_a_picture_and_what_to_repaint(
    given: dict[str, Any], parameter: str
) -> None:
    error = refused(FILL, **given)
    assert error.parameter == parameter
    assert error.detail == (
        "model 'demo' repaints a picture: give image and mask, or image and outpaint"
    )


def test_a_model_that_edits_takes_references_and_nothing_to_start_from() -> None:
    assert resolved(EDIT, references=(IMAGE, OTHER)).references == (IMAGE, OTHER)
    for asked in ({"image": IMAGE}, {"mask": MASK}, {"outpaint": {"top": 1}}):
        assert "it takes num_inference_steps, references" in refused(EDIT, **asked).detail
    assert refused(EDIT, references=(IMAGE,) * 3).detail == (
        "model 'demo' takes at most 2 references; 3 were given"
    )


def test_no_references_are_as_good_as_none_given() -> None:
    assert resolved(references=()).references == ()
    assert resolved(EDIT).references == ()


def test_a_pair_and_a_widening_stay_as_they_were_asked() -> None:
    result = resolved(image=IMAGE, outpaint={"left": 0.5}, target_size=(64, 96))
    assert result.target_size == (64, 96)
    assert result.outpaint is not None
    assert result.outpaint.left == 0.5
    assert resolved().target_size is None


@pytest.mark.parametrize(
    ("model", "given", "asked", "size"),
    [
        (MODEL, SourcePixels(image=WIDE), {"image": IMAGE}, (96, 56)),
        (MODEL, SourcePixels(image=TALL), {"image": IMAGE}, (64, 64)),
        (MODEL, SourcePixels(image=WIDE), {"image": IMAGE, "width": 64, "height": 72}, (64, 72)),
        (MODEL, SourcePixels(image=WIDE), {"image": IMAGE, "aspect_ratio": "1:1"}, (64, 64)),
        (
            MODEL,
            SourcePixels(image=(100, 100)),
            {"image": IMAGE, "outpaint": {"left": 0.4, "right": 0.4}},
            (96, 56),
        ),
        (
            MODEL,
            SourcePixels(image=(100, 100)),
            {"image": IMAGE, "outpaint": {"left": 1, "bottom": 1}},
            (64, 64),
        ),
        (EDIT, SourcePixels(reference=WIDE), {"references": (IMAGE,)}, (96, 56)),
        (MODEL, SourcePixels(), {}, (64, 64)),
    ],
)
def test_without_a_size_the_nearest_shape_of_the_source_is_drawn(
    model: ModelInfo, given: SourcePixels, asked: dict[str, Any], size: tuple[int, int]
) -> None:
    result = resolved(model, given, **asked)
    assert (result.width, result.height) == size


@pytest.mark.parametrize("mask", [(100, 100), (200, 200), (100, 101)])
def test_a_mask_of_the_same_shape_is_taken_at_any_size(mask: tuple[int, int]) -> None:
    given = SourcePixels(image=(100, 100), mask=mask)
    assert resolved(MODEL, given, image=IMAGE, mask=MASK).mask == MASK


def test_a_mask_of_another_shape_is_refused_with_both_sizes() -> None:
    given = SourcePixels(image=(100, 100), mask=(100, 103))
    error = refused(MODEL, given, image=IMAGE, mask=MASK)
    assert error.parameter == "mask"
    assert "100 x 103" in error.detail
    assert "100 x 100" in error.detail


SIZES: dict[str, Any] = {"negative_original_size": (64, 64), "negative_target_size": (64, 64)}
CROP: dict[str, Any] = {"negative_crops_coords_top_left": (0, 8)}


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({"negative_original_size": (64, 64)}, "negative_target_size"),
        ({"negative_target_size": (64, 64)}, "negative_original_size"),
        (CROP, "negative_original_size"),
        ({**CROP, "image": IMAGE}, "negative_crops_coords_top_left"),
    ],
)
def test_a_negative_size_that_would_not_count_is_refused(
    asked: dict[str, Any], parameter: str
) -> None:
    assert refused(**asked).parameter == parameter


def test_negative_sizes_count_together_and_from_an_image_each_alone() -> None:
    assert resolved(**SIZES, **CROP).negative_crops_coords_top_left == (0, 8)
    assert resolved(image=IMAGE, negative_target_size=(64, 96)).negative_target_size == (64, 96)


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_a_weight_that_is_none_is_refused_before_any_cost(name: str) -> None:
    with pytest.raises(RequestRefusedError, match="'9' is no weight") as refused:
        resolve(
            ImageRequest.model_validate({"prompt": "a fox", name: "a (16:9) fox"}), MODEL, seed=1
        )
    assert refused.value.parameter == name


def profiled(*profiles: str) -> ModelInfo:
    declared = parameter("profile", profiles[0], options=profiles)
    return MODEL.model_copy(update={"parameters": (*MODEL.parameters, declared)})


def test_without_a_word_a_picture_is_exact_or_what_the_model_says_first() -> None:
    asked = ImageRequest(prompt="a fox")
    assert resolve(asked, MODEL, seed=1).profile is Profile.EXACT
    assert resolve(asked, profiled("memory", "exact"), seed=1).profile is Profile.MEMORY


def test_a_profile_is_refused_by_a_model_that_does_not_offer_it() -> None:
    asked = ImageRequest(prompt="a fox", profile=Profile.FAST)
    assert resolve(asked, profiled("exact", "fast"), seed=1).profile is Profile.FAST
    with pytest.raises(RequestRefusedError, match="has no profile 'fast'; it has exact, memory"):
        resolve(asked, profiled("exact", "memory"), seed=1)
    with pytest.raises(RequestRefusedError, match="does not take profile"):
        resolve(asked, MODEL, seed=1)


def test_any_model_draws_exactly_when_asked_to() -> None:
    asked = ImageRequest(prompt="a fox", profile=Profile.EXACT)
    assert resolve(asked, MODEL, seed=1).profile is Profile.EXACT


def test_rows_of_earlier_versions_were_drawn_exactly() -> None:
    row = resolve(ImageRequest(prompt="a fox"), MODEL, seed=1).model_dump()
    del row["profile"]
    assert ResolvedRequest.model_validate(row).profile is Profile.EXACT
