"""Flux pictures are diffusers' own: latents within 1e-4 in fp32, alone and in any company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxImg2ImgPipeline, FluxPipeline
from PIL import Image

from server.domain.images import ResolvedRequest
from server.engine.families.flux import FluxFamily
from tests.engine.drawing import begin, finish, request

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def flux(model_folders: dict[str, Path]) -> FluxPipeline:
    pipeline = FluxPipeline.from_pretrained(model_folders["flux"], dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def source() -> Image.Image:
    levels = np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return Image.fromarray(levels)


@pytest.mark.parametrize("guidance_scale", [2.0, 5.0])
def test_flux_draws_what_the_pipeline_draws(flux: FluxPipeline, guidance_scale: float) -> None:
    asked = request(guidance_scale=guidance_scale, width=96, max_sequence_length=64)
    row = begin(FluxFamily(flux), asked)
    finish(FluxFamily(flux), [row])
    assert _difference(row.latents, _flux_latents(flux, asked)) < TOLERANCE


@pytest.mark.parametrize("scheduler", [None, "flow_match_euler"])
def test_flux_is_guided_by_a_negative_prompt_as_the_pipeline_is(
    flux: FluxPipeline, scheduler: str | None
) -> None:
    asked = request(
        negative_prompt="a hat", true_cfg_scale=3.0, max_sequence_length=32, scheduler=scheduler
    )
    row = begin(FluxFamily(flux), asked)
    finish(FluxFamily(flux), [row])
    assert _difference(row.latents, _flux_latents(flux, asked)) < TOLERANCE


def test_true_guidance_without_a_negative_prompt_leads_away_from_the_empty_one(
    flux: FluxPipeline,
) -> None:
    family = FluxFamily(flux)
    without = begin(family, request(true_cfg_scale=3.0, max_sequence_length=32))
    empty = begin(family, request(true_cfg_scale=3.0, max_sequence_length=32, negative_prompt=""))
    finish(family, [without])
    finish(family, [empty])
    assert torch.equal(without.latents, empty.latents)


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_flux_redraws_a_picture_as_the_pipeline_does(
    flux: FluxPipeline, source: Image.Image, strength: float
) -> None:
    asked = request(strength=strength, num_inference_steps=5, max_sequence_length=32)
    row = begin(FluxFamily(flux), asked, source)
    finish(FluxFamily(flux), [row])
    assert _difference(row.latents, _flux_latents(flux, asked, source)) < TOLERANCE


def test_flux_rows_of_different_requests_share_a_forward_and_keep_their_pictures(
    flux: FluxPipeline,
) -> None:
    short = {"max_sequence_length": 32}
    asked = [
        request(prompt="a cat", guidance_scale=2.0, seed=1, **short),
        request(prompt="a robot", num_inference_steps=7, seed=2, **short),
        request(prompt="a frog", true_cfg_scale=2.5, negative_prompt="a hat", seed=3, **short),
    ]
    family = FluxFamily(flux)
    rows = [begin(family, one) for one in asked]
    finish(family, rows)
    for row, one in zip(rows, asked, strict=True):
        assert _difference(row.latents, _flux_latents(flux, one)) < TOLERANCE


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


def _flux_latents(
    flux: FluxPipeline, asked: ResolvedRequest, source: Image.Image | None = None
) -> torch.Tensor:
    kind = FluxPipeline if source is None else FluxImg2ImgPipeline
    pipeline = kind(**flux.components)
    pipeline.set_progress_bar_config(disable=True)
    arguments = _shared_arguments(asked) | {
        "width": asked.width,
        "height": asked.height,
        "max_sequence_length": asked.max_sequence_length,
        "true_cfg_scale": 1.0 if asked.true_cfg_scale is None else asked.true_cfg_scale,
    }
    if source is not None:
        arguments |= {"image": source, "strength": asked.strength}
    latents: torch.Tensor = pipeline(**arguments, output_type="latent").images
    return latents
