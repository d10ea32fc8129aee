"""The pictures are diffusers' own: latents within 1e-4 in fp32, alone and in any company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image

from server.domain.images import ResolvedRequest
from server.domain.models import Family
from server.engine import schedulers
from server.engine.families.sdxl import SdxlFamily
from tests.engine.drawing import begin, finish, request

TOLERANCE = 1e-4
SDXL_NAMES = sorted(schedulers.SCHEDULERS[Family.SDXL])


@pytest.fixture(scope="module")
def sdxl(model_folders: dict[str, Path]) -> StableDiffusionXLPipeline:
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        model_folders["sdxl"], dtype=torch.float32, add_watermarker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def source() -> Image.Image:
    levels = np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def test_every_scheduler_name_is_a_class_of_its_own_config(sdxl: StableDiffusionXLPipeline) -> None:
    for name in SDXL_NAMES:
        built = schedulers.build(Family.SDXL, name, sdxl.scheduler)
        assert built.config.beta_end == sdxl.scheduler.config.beta_end
        assert built is not schedulers.build(Family.SDXL, name, sdxl.scheduler)


@pytest.mark.parametrize("scheduler", [None, *SDXL_NAMES])
@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
def test_sdxl_draws_what_the_pipeline_draws(
    sdxl: StableDiffusionXLPipeline, scheduler: str | None, guidance_scale: float
) -> None:
    asked = request(scheduler=scheduler, guidance_scale=guidance_scale, width=64, height=96)
    row = begin(SdxlFamily(sdxl), asked)
    finish(SdxlFamily(sdxl), [row])
    assert _difference(row.latents, _sdxl_latents(sdxl, asked)) < TOLERANCE


@pytest.mark.parametrize("scheduler", [None, *SDXL_NAMES])
def test_sdxl_redraws_a_picture_as_the_pipeline_does(
    sdxl: StableDiffusionXLPipeline, source: Image.Image, scheduler: str | None
) -> None:
    asked = request(scheduler=scheduler, strength=0.6, num_inference_steps=6)
    row = begin(SdxlFamily(sdxl), asked, source)
    finish(SdxlFamily(sdxl), [row])
    assert _difference(row.latents, _sdxl_latents(sdxl, asked, source)) < TOLERANCE


@pytest.mark.parametrize("negative_prompt", [None, "", "blue, a hat"])
def test_sdxl_takes_the_negative_prompt_as_the_pipeline_does(
    sdxl: StableDiffusionXLPipeline, negative_prompt: str | None
) -> None:
    asked = request(negative_prompt=negative_prompt)
    row = begin(SdxlFamily(sdxl), asked)
    finish(SdxlFamily(sdxl), [row])
    assert _difference(row.latents, _sdxl_latents(sdxl, asked)) < TOLERANCE


def test_sdxl_rows_of_different_requests_share_a_forward_and_keep_their_pictures(
    sdxl: StableDiffusionXLPipeline,
) -> None:
    asked = [
        request(prompt="a cat", scheduler="euler", num_inference_steps=6, seed=1),
        request(prompt="a robot", scheduler="lcm", num_inference_steps=3, guidance_scale=1, seed=2),
        request(scheduler="dpmpp_2m_sde", negative_prompt="a hat", guidance_scale=7.5, seed=3),
        request(scheduler="heun", num_inference_steps=3, seed=4),
    ]
    family = SdxlFamily(sdxl)
    rows = [begin(family, one) for one in asked]
    finish(family, rows)
    for row, one in zip(rows, asked, strict=True):
        assert _difference(row.latents, _sdxl_latents(sdxl, one)) < TOLERANCE


def test_the_finished_pixels_are_the_pipelines(sdxl: StableDiffusionXLPipeline) -> None:
    asked = request(width=128, height=64)
    family = SdxlFamily(sdxl)
    row = begin(family, asked)
    finish(family, [row])
    with torch.inference_mode():
        pixels = family.decode(row).numpy()
    theirs = np.asarray(sdxl(**_sdxl_arguments(sdxl, asked)).images[0])
    assert pixels.shape == (64, 128, 3)
    assert np.abs(pixels.astype(int) - theirs.astype(int)).max() <= 1  # a last bit before rounding


def test_picture_i_is_drawn_with_seed_plus_i(sdxl: StableDiffusionXLPipeline) -> None:
    family = SdxlFamily(sdxl)
    third = begin(family, request(seed=10), index=2)
    assert torch.equal(third.latents, begin(family, request(seed=12)).latents)


def _difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape
    return (ours - theirs).abs().max().item()


def _shared_arguments(asked: ResolvedRequest) -> dict[str, Any]:
    return {
        "prompt": asked.prompt,
        "negative_prompt": asked.negative_prompt,
        "num_inference_steps": asked.num_inference_steps,
        "guidance_scale": asked.guidance_scale,
        "generator": torch.Generator().manual_seed(asked.seed),
    }


def _sdxl_arguments(
    sdxl: StableDiffusionXLPipeline, asked: ResolvedRequest, source: Image.Image | None = None
) -> dict[str, Any]:
    if source is not None:
        return _shared_arguments(asked) | {"image": source, "strength": asked.strength}
    return _shared_arguments(asked) | {"width": asked.width, "height": asked.height}


def _sdxl_latents(
    sdxl: StableDiffusionXLPipeline, asked: ResolvedRequest, source: Image.Image | None = None
) -> torch.Tensor:
    kind = StableDiffusionXLPipeline if source is None else StableDiffusionXLImg2ImgPipeline
    scheduler = schedulers.build(Family.SDXL, asked.scheduler, sdxl.scheduler)
    parts = {**sdxl.components, "scheduler": scheduler}
    pipeline = kind(**parts, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    arguments = _sdxl_arguments(sdxl, asked, source)
    latents: torch.Tensor = pipeline(**arguments, output_type="latent").images
    return latents
