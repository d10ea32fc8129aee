from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from server.domain.models import Family
from server.engine import previews, schedulers
from server.engine.families.base import FamilyPipeline
from server.engine.loading import load
from tests.engine.drawing import begin, request
from tests.engine.workers import engine_model


@pytest.fixture(scope="module", params=["sdxl", "flux"])
def family(request: Any, model_folders: dict[str, Path]) -> FamilyPipeline:
    name = request.param
    return load(engine_model("tiny", model_folders[name], Family(name)), torch.device("cpu"))


@torch.inference_mode()
def test_a_preview_is_an_eighth_of_the_picture(family: FamilyPipeline) -> None:
    row = begin(family, request(width=128, height=192, max_sequence_length=32))
    row.advance(family.predict([row])[0])
    preview = family.preview(row)
    assert preview.shape == (24, 16, 3)
    assert preview.dtype == torch.uint8
    assert preview.float().std() > 1


@pytest.mark.parametrize("name", ["sdxl", "flux"])
@torch.inference_mode()
def test_the_factors_come_near_what_the_decoder_paints(
    model_folders: dict[str, Path], name: str
) -> None:
    vae = AutoencoderKL.from_pretrained(model_folders[name] / "vae")
    factors = previews.fit(vae, scale=0.5, shift=0.1)
    latents = vae.encode(previews.calibration_card()).latent_dist.mode()
    painted = functional.adaptive_avg_pool2d(vae.decode(latents).sample, latents.shape[-2:])
    guess = factors.picture((latents - 0.1) * 0.5).permute(2, 0, 1).float()
    likeness = np.corrcoef(guess.flatten(), painted[0].clamp(-1, 1).flatten())[0, 1]
    # Random weights are far from linear; a line through them still beats chance by far.
    assert likeness > 0.35


@pytest.mark.parametrize("scheduler", sorted(schedulers.SCHEDULERS[Family.SDXL]))
@torch.inference_mode()
def test_every_scheduler_lets_one_guess_the_finished_latents(
    model_folders: dict[str, Path], scheduler: str
) -> None:
    sdxl = load(engine_model("tiny", model_folders["sdxl"], Family.SDXL), torch.device("cpu"))
    row = begin(sdxl, request(scheduler=scheduler, num_inference_steps=6))
    assert previews.denoised(row) is row.latents  # nothing is known before the first step
    row.advance(sdxl.predict([row])[0])
    first = previews.denoised(row)
    while not row.is_done:
        row.advance(sdxl.predict([row])[0])
    assert first.shape == row.latents.shape
    # A guess of the end, not the noise it is found in: those start out 14 times as strong.
    assert first.std() < 4 * row.latents.std()
