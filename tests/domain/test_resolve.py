from typing import Any

import pytest

from server.domain.errors import RequestRefusedError
from server.domain.images import ImageRequest, ResolvedRequest
from server.domain.models import Family, ModelInfo, ParameterInfo, Size, Style, Task
from server.domain.resolve import resolve


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
        parameter("image", None),
        parameter("strength", 0.8, minimum=0.05, maximum=1),
    ),
    sizes=(
        Size(width=64, height=64, aspect_ratio="1:1"),
        Size(width=96, height=56, aspect_ratio="16:9"),
    ),
    size_multiple=8,
    max_pixels=128 * 128,
    styles=(Style(id="ink", name="Ink", prompt="{prompt}, ink drawing", negative_prompt="photo"),),
)


def resolved(**asked: Any) -> ResolvedRequest:
    return resolve(ImageRequest(prompt="a fox", **asked), MODEL, seed=7)


def refused(**asked: Any) -> RequestRefusedError:
    with pytest.raises(RequestRefusedError) as caught:
        resolved(**asked)
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
        ({"strength": 0.5}, "image"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(asked: dict[str, Any], named: str) -> None:
    assert named in refused(**asked).detail
