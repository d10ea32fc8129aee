"""SDXL pictures are diffusers' own: latents within 1e-4 in fp32, alone and in any company."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image

from server.domain.errors import RequestRefusedError
from server.domain.images import ResolvedRequest
from server.domain.models import Family
from server.engine import schedulers
from server.engine.families.base import Pictures
from server.engine.families.sdxl import SdxlFamily
from tests.engine import sdxl_reference
from tests.engine.drawing import begin, difference, draw_together, finish, request

TOLERANCE = 1e-4
NAMES = sorted(schedulers.SCHEDULERS[Family.SDXL])
STOCHASTIC = ("dpmpp_2m_sde", "dpmpp_sde", "euler_a", "lcm")

# What a picture starts from, and with what strength.
KINDS: Mapping[str, Mapping[str, float | None]] = MappingProxyType(
    {
        "text": {},
        "image": {"strength": 0.6},
        "inpaint": {"strength": 1.0},
        "inpaint_partly": {"strength": 0.6},
    }
)


@pytest.fixture(scope="module")
def sdxl(model_folders: dict[str, Path]) -> StableDiffusionXLPipeline:
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        model_folders["sdxl"], dtype=torch.float32, add_watermarker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def filler(sdxl: StableDiffusionXLPipeline) -> StableDiffusionXLPipeline:
    """An inpainting checkpoint: its network reads the mask and what is kept."""
    torch.manual_seed(9)
    unet = UNet2DConditionModel.from_config({**sdxl.unet.config, "in_channels": 9})
    return StableDiffusionXLPipeline(**{**sdxl.components, "unet": unet}, add_watermarker=False)


@pytest.fixture(scope="module")
def pictures() -> dict[str, Pictures]:
    random = np.random.default_rng(5)
    image = Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    # Every level of grey in blocks that the latents' pixels cut through.
    mask = Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).resize((64, 64), 0)
    return {
        "text": Pictures(),
        "image": Pictures(image),
        "inpaint": Pictures(image, mask),
        "inpaint_partly": Pictures(image, mask.transpose(Image.Transpose.ROTATE_90)),
    }


@pytest.fixture(scope="module")
def company(
    sdxl: StableDiffusionXLPipeline, pictures: dict[str, Pictures]
) -> list[tuple[ResolvedRequest, Pictures, torch.Tensor]]:
    """Two other requests, and what the pipelines make of them."""
    asked = [
        (request(scheduler="heun", num_inference_steps=3, seed=8, prompt="a cat"), "text"),
        (request(scheduler="euler_a", guidance_scale=1, strength=0.5, seed=9), "inpaint"),
    ]
    return [
        (one, pictures[kind], sdxl_reference.latents(sdxl, one, pictures[kind]))
        for one, kind in asked
    ]


def test_every_scheduler_name_is_a_class_of_its_own_config(sdxl: StableDiffusionXLPipeline) -> None:
    for name in NAMES:
        built = schedulers.build(Family.SDXL, name, sdxl.scheduler)
        assert built.config.beta_end == sdxl.scheduler.config.beta_end
        assert built is not schedulers.build(Family.SDXL, name, sdxl.scheduler)


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheduler", [None, *NAMES])
def test_a_picture_is_the_pipelines_alone_and_in_company(
    sdxl: StableDiffusionXLPipeline,
    pictures: dict[str, Pictures],
    company: list[tuple[ResolvedRequest, Pictures, torch.Tensor]],
    scheduler: str | None,
    kind: str,
    guidance_scale: float,
) -> None:
    asked = request(
        scheduler=scheduler, guidance_scale=guidance_scale, num_inference_steps=5, **KINDS[kind]
    )
    theirs = sdxl_reference.latents(sdxl, asked, pictures[kind])
    family = SdxlFamily(sdxl)
    alone = _begin(family, asked, pictures[kind])
    finish(family, [alone])
    assert difference(alone.latents, theirs) < TOLERANCE

    everyone = [(asked, pictures[kind], theirs), *company]
    rows = [_begin(family, one, given) for one, given, _ in everyone]
    draw_together(family, list(enumerate(rows)))
    for row, (_, _, expected) in zip(rows, everyone, strict=True):
        assert difference(row.latents, expected) < TOLERANCE


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("strength", [None, 0.5, 0.8, 1.0])
def test_the_orders_of_a_singlestep_scheduler_are_the_pipelines(
    sdxl: StableDiffusionXLPipeline,
    pictures: dict[str, Pictures],
    steps: int,
    strength: float | None,
) -> None:
    asked = request(scheduler="dpmpp_sde", num_inference_steps=steps, strength=strength)
    if strength is not None and steps * strength < 1:
        return
    given = pictures["text" if strength is None else "image"]
    _assert_equal(sdxl, asked, given)


@pytest.mark.parametrize("scheduler", STOCHASTIC)
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_a_filling_network_reads_mask_and_image_as_the_pipeline_gives_them(
    filler: StableDiffusionXLPipeline,
    pictures: dict[str, Pictures],
    scheduler: str,
    strength: float,
) -> None:
    asked = request(scheduler=scheduler, strength=strength, num_inference_steps=5)
    _assert_equal(filler, asked, pictures["inpaint"])


def test_a_filling_network_draws_different_rows_in_one_forward(
    filler: StableDiffusionXLPipeline, pictures: dict[str, Pictures]
) -> None:
    asked = [
        (request(scheduler="heun", num_inference_steps=3, strength=1.0), "inpaint"),
        (request(scheduler="dpmpp_sde", guidance_scale=1, strength=0.5, seed=2), "inpaint_partly"),
        (request(scheduler="euler", guidance_scale=8, strength=0.7, seed=3), "inpaint"),
    ]
    family = SdxlFamily(filler)
    rows = [_begin(family, one, pictures[kind]) for one, kind in asked]
    draw_together(family, list(enumerate(rows)))
    for row, (one, kind) in zip(rows, asked, strict=True):
        theirs = sdxl_reference.latents(filler, one, pictures[kind])
        assert difference(row.latents, theirs) < TOLERANCE


@pytest.mark.parametrize(
    ("kind", "missing"), [("text", "an image and a mask"), ("image", "a mask")]
)
def test_a_filling_network_names_what_it_misses(
    filler: StableDiffusionXLPipeline, pictures: dict[str, Pictures], kind: str, missing: str
) -> None:
    with pytest.raises(RequestRefusedError, match=f"{missing} is missing") as refused:
        _begin(SdxlFamily(filler), request(strength=0.5), pictures[kind])
    assert refused.value.parameter == "mask"


def test_a_mask_without_an_image_is_refused(
    sdxl: StableDiffusionXLPipeline, pictures: dict[str, Pictures]
) -> None:
    with pytest.raises(RequestRefusedError, match="give the image") as refused:
        begin(SdxlFamily(sdxl), request(), mask=pictures["inpaint"].mask)
    assert refused.value.parameter == "image"


def test_what_the_mask_keeps_is_the_images_own_latents(
    sdxl: StableDiffusionXLPipeline, pictures: dict[str, Pictures]
) -> None:
    family = SdxlFamily(sdxl)
    row = _begin(family, request(strength=1.0), pictures["inpaint"])
    finish(family, [row])
    assert row.blend is not None
    kept = (row.blend.mask == 0).expand_as(row.latents)
    assert 0 < row.blend.mask.mean() < 1
    assert torch.equal(row.latents[kept], row.blend.clean[kept])


@pytest.mark.parametrize("negative_prompt", [None, "", "blue, a hat"])
@pytest.mark.parametrize("force_zeros", [True, False])
def test_the_negative_prompt_is_the_pipelines(
    sdxl: StableDiffusionXLPipeline,
    negative_prompt: str | None,
    *,
    force_zeros: bool,
) -> None:
    pipeline = StableDiffusionXLPipeline(
        **sdxl.components, force_zeros_for_empty_prompt=force_zeros, add_watermarker=False
    )
    _assert_equal(pipeline, request(negative_prompt=negative_prompt), Pictures())


SIZES: list[dict[str, Any]] = [
    {"original_size": (512, 384), "crops_coords_top_left": (16, 8), "target_size": (96, 64)},
    {"negative_original_size": (512, 512), "negative_target_size": (32, 48)},
    {
        "crops_coords_top_left": (16, 8),
        "negative_original_size": (512, 512),
        "negative_crops_coords_top_left": (4, 2),
        "negative_target_size": (32, 48),
    },
    {"negative_original_size": (512, 512), "negative_crops_coords_top_left": (4, 2)},
    {"negative_target_size": (32, 48), "original_size": (512, 384)},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", SIZES)
def test_size_conditions_are_the_pipelines(
    sdxl: StableDiffusionXLPipeline,
    pictures: dict[str, Pictures],
    kind: str,
    sizes: dict[str, Any],
) -> None:
    _assert_equal(sdxl, request(negative_prompt="a hat", **sizes, **KINDS[kind]), pictures[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_guidance_rescale_and_clip_skip_are_the_pipelines(
    sdxl: StableDiffusionXLPipeline, pictures: dict[str, Pictures], kind: str
) -> None:
    asked = request(guidance_rescale=0.7, clip_skip=1, negative_prompt="a hat", **KINDS[kind])
    _assert_equal(sdxl, asked, pictures[kind])
    plain = request(negative_prompt="a hat", **KINDS[kind])
    theirs = sdxl_reference.latents(sdxl, plain, pictures[kind])
    family = SdxlFamily(sdxl)
    for only in ({"guidance_rescale": 0.7}, {"clip_skip": 1}):
        row = _begin(family, plain.model_copy(update=only), pictures[kind])
        finish(family, [row])
        assert difference(row.latents, theirs) > TOLERANCE


def test_clip_skip_beyond_the_encoders_layers_is_refused(sdxl: StableDiffusionXLPipeline) -> None:
    with pytest.raises(RequestRefusedError, match="at most 1") as refused:
        SdxlFamily(sdxl).encode(request(clip_skip=2))
    assert refused.value.parameter == "clip_skip"


@pytest.mark.parametrize("kind", KINDS)
def test_a_high_picture_is_the_pipelines(
    sdxl: StableDiffusionXLPipeline,
    filler: StableDiffusionXLPipeline,
    pictures: dict[str, Pictures],
    kind: str,
) -> None:
    given = pictures[kind]
    high = Pictures(
        None if given.image is None else given.image.resize((64, 96)),
        None if given.mask is None else given.mask.resize((64, 96)),
    )
    asked = request(width=64, height=96, **KINDS[kind])
    _assert_equal(sdxl, asked, high)
    if high.mask is not None:
        _assert_equal(filler, asked, high)


@pytest.mark.parametrize("scheduler", STOCHASTIC)
def test_in_half_precision_every_draw_is_the_pipelines(
    model_folders: dict[str, Path], pictures: dict[str, Pictures], scheduler: str
) -> None:
    """A generator goes on otherwise after numbers of another dtype, if they are no round number."""
    half = StableDiffusionXLPipeline.from_pretrained(
        model_folders["sdxl"], dtype=torch.bfloat16, add_watermarker=False
    )
    half.vae.to(torch.float32)  # as when it is loaded, and as the pipeline encodes with it
    given = pictures["inpaint"]
    assert given.image is not None
    assert given.mask is not None
    odd = Pictures(given.image.resize((72, 104)), given.mask.resize((72, 104), 0))
    asked = request(scheduler=scheduler, width=72, height=104, strength=1.0, guidance_scale=1.0)
    row = _begin(SdxlFamily(half), asked, odd)
    finish(SdxlFamily(half), [row])
    theirs = sdxl_reference.latents(half, asked, odd)
    assert difference(row.latents, theirs) < 0.05 * theirs.abs().max().item()


def test_a_mask_without_a_strength_draws_out_of_noise_alone(
    sdxl: StableDiffusionXLPipeline, pictures: dict[str, Pictures]
) -> None:
    family = SdxlFamily(sdxl)
    silent, full = (
        _begin(family, request(strength=strength), pictures["inpaint"]) for strength in (None, 1.0)
    )
    assert torch.equal(silent.latents, full.latents)


@pytest.mark.parametrize("kind", KINDS)
def test_the_finished_pixels_are_the_pipelines(
    sdxl: StableDiffusionXLPipeline, pictures: dict[str, Pictures], kind: str
) -> None:
    asked = request(**KINDS[kind])
    family = SdxlFamily(sdxl)
    row = _begin(family, asked, pictures[kind])
    finish(family, [row])
    with torch.inference_mode():
        pixels = family.decode(row).numpy()
    theirs = sdxl_reference.pixels(sdxl, asked, pictures[kind])
    assert pixels.shape == (64, 64, 3)
    assert np.abs(pixels.astype(int) - theirs.astype(int)).max() <= 1  # a last bit before rounding


def test_picture_i_is_drawn_with_seed_plus_i(sdxl: StableDiffusionXLPipeline) -> None:
    family = SdxlFamily(sdxl)
    third = begin(family, request(seed=10), index=2)
    assert torch.equal(third.latents, begin(family, request(seed=12)).latents)


def _begin(family: SdxlFamily, asked: ResolvedRequest, given: Pictures) -> Any:
    return begin(family, asked, given.image, mask=given.mask)


def _assert_equal(
    pipeline: StableDiffusionXLPipeline, asked: ResolvedRequest, given: Pictures
) -> None:
    family = SdxlFamily(pipeline)
    row = _begin(family, asked, given)
    finish(family, [row])
    assert difference(row.latents, sdxl_reference.latents(pipeline, asked, given)) < TOLERANCE
