"""Flux pictures are diffusers' own: latents within 1e-4 in fp32, alone and in any company."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    FluxFillPipeline,
    FluxKontextPipeline,
    FluxPipeline,
)
from PIL import Image

from server.domain.errors import RequestRefusedError
from server.domain.images import ResolvedRequest
from server.domain.models import Family, Task
from server.engine import schedulers
from server.engine.families import flux_references
from server.engine.families.base import Pictures
from server.engine.families.flux import FluxFamily
from tests.engine.drawing import finish
from tests.engine.flux_equality import (
    EDITED,
    MASKED,
    SQUARE,
    TOLERANCE,
    begin,
    difference,
    left_half,
    noise,
    opened,
    ours,
    request,
)
from tests.engine.flux_reference import latents_of

NAMES = sorted(schedulers.SCHEDULERS[Family.FLUX])
PIPELINES_TAKE = [name for name in NAMES if name != "flow_match_heun"]


@pytest.fixture(scope="module")
def flux(model_folders: dict[str, Path]) -> FluxPipeline:
    return opened(FluxPipeline, model_folders["flux"])


@pytest.fixture(scope="module")
def fill(model_folders: dict[str, Path]) -> FluxFillPipeline:
    return opened(FluxFillPipeline, model_folders["flux-fill"])


@pytest.fixture(scope="module")
def kontext(model_folders: dict[str, Path]) -> FluxKontextPipeline:
    return opened(FluxKontextPipeline, model_folders["flux-kontext"])


@pytest.fixture(scope="module")
def schnell(flux: FluxPipeline) -> FluxPipeline:
    """The same network with a shift that no size changes."""
    fixed = FlowMatchEulerDiscreteScheduler(shift=1.5)
    return FluxPipeline(**{**flux.components, "scheduler": fixed})


# Text to image


@pytest.mark.parametrize("guidance_scale", [2.0, 5.0])
def test_a_text_is_drawn_as_the_pipeline_draws_it(
    flux: FluxPipeline, guidance_scale: float
) -> None:
    asked = request(guidance_scale=guidance_scale, width=96, max_sequence_length=64)
    assert difference(ours(FluxFamily(flux), asked), latents_of(flux, asked)) < TOLERANCE


@pytest.mark.parametrize("scheduler", [None, *PIPELINES_TAKE])
@pytest.mark.parametrize("steps", [1, 5])
def test_every_scheduler_draws_as_in_the_pipeline(
    flux: FluxPipeline, scheduler: str | None, steps: int
) -> None:
    asked = request(scheduler=scheduler, height=96, num_inference_steps=steps)
    assert difference(ours(FluxFamily(flux), asked), latents_of(flux, asked)) < TOLERANCE


@pytest.mark.parametrize("scheduler", ["flow_match_euler", "unipc"])
def test_a_fixed_shift_of_the_checkpoint_is_kept(schnell: FluxPipeline, scheduler: str) -> None:
    asked = request(scheduler=scheduler)
    assert difference(ours(FluxFamily(schnell), asked), latents_of(schnell, asked)) < TOLERANCE


@pytest.mark.parametrize("scheduler", ["dpmpp_2m", "unipc"])
def test_a_fixed_shift_reaches_the_solvers_sigmas(schnell: FluxPipeline, scheduler: str) -> None:
    row = begin(FluxFamily(schnell), request(scheduler=scheduler, num_inference_steps=2))
    assert row.scheduler.config.flow_shift == 1.5
    plain = 0.5 + 0.5 / 1000
    shifted = 1.5 * plain / (1 + 0.5 * plain)
    assert row.scheduler.sigmas[1].item() == pytest.approx(shifted, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_scheduler_name_keeps_the_checkpoints_own_shift(name: str) -> None:
    own = FlowMatchEulerDiscreteScheduler(
        shift=2.0, use_dynamic_shifting=True, base_shift=0.4, max_image_seq_len=1000
    )
    built = schedulers.build(Family.FLUX, name, own)
    assert built is not schedulers.build(Family.FLUX, name, own)
    assert (built.config["base_shift"], built.config["max_image_seq_len"]) == (0.4, 1000)
    assert built.config["use_dynamic_shifting"] is True


# True guidance


@pytest.mark.parametrize("scheduler", [None, "flow_match_euler", "dpmpp_2m"])
def test_a_negative_prompt_guides_as_in_the_pipeline(
    flux: FluxPipeline, scheduler: str | None
) -> None:
    asked = request(negative_prompt="a hat", true_cfg_scale=3.0, scheduler=scheduler)
    assert difference(ours(FluxFamily(flux), asked), latents_of(flux, asked)) < TOLERANCE


def test_a_negative_prompt_guides_with_pictures_as_in_the_pipelines(
    flux: FluxPipeline, kontext: FluxKontextPipeline
) -> None:
    guided = {"negative_prompt": "a hat", "true_cfg_scale": 3.0}
    for given, size in ((SQUARE, {}), (MASKED, {"width": 96})):
        asked = request(strength=0.8, **guided, **size)
        mine = ours(FluxFamily(flux), asked, given)
        assert difference(mine, latents_of(flux, asked, given)) < TOLERANCE
    edit = FluxFamily(kontext, task=Task.EDIT, reference_sizes=())
    asked = request(**guided)
    assert difference(ours(edit, asked, EDITED), latents_of(kontext, asked, EDITED)) < TOLERANCE


def test_true_guidance_without_a_negative_prompt_leads_away_from_the_empty_one(
    flux: FluxPipeline,
) -> None:
    family = FluxFamily(flux)
    without = ours(family, request(true_cfg_scale=3.0))
    assert torch.equal(without, ours(family, request(true_cfg_scale=3.0, negative_prompt="")))


# Image to image, and inpainting with a network that knows nothing of masks


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("scheduler", PIPELINES_TAKE)
def test_a_picture_is_redrawn_as_the_pipeline_does(
    flux: FluxPipeline, scheduler: str, strength: float
) -> None:
    asked = request(strength=strength, num_inference_steps=5, scheduler=scheduler)
    mine = ours(FluxFamily(flux), asked, SQUARE)
    assert difference(mine, latents_of(flux, asked, SQUARE)) < TOLERANCE


@pytest.mark.parametrize("strength", [0.6, 1.0])
@pytest.mark.parametrize("scheduler", PIPELINES_TAKE)
def test_a_masked_picture_is_redrawn_as_the_pipeline_does(
    flux: FluxPipeline, scheduler: str, strength: float
) -> None:
    asked = request(strength=strength, num_inference_steps=5, scheduler=scheduler, width=96)
    mine = ours(FluxFamily(flux), asked, MASKED)
    assert difference(mine, latents_of(flux, asked, MASKED)) < TOLERANCE


def test_what_a_mask_keeps_is_the_picture(flux: FluxPipeline) -> None:
    family = FluxFamily(flux)
    asked = request(strength=0.9, width=96)
    row = begin(family, asked, MASKED)
    finish(family, [row])
    kept = row.blend.mask == 0  # type: ignore[union-attr]
    assert kept.float().mean() == pytest.approx(0.5)
    assert torch.equal(row.latents[kept], row.blend.clean[kept])  # type: ignore[union-attr]


# Fill


@pytest.mark.parametrize("strength", [None, 0.6])
@pytest.mark.parametrize("scheduler", [None, *PIPELINES_TAKE])
def test_a_fill_checkpoint_draws_what_its_pipeline_draws(
    fill: FluxFillPipeline, scheduler: str | None, strength: float | None
) -> None:
    asked = request(strength=strength, scheduler=scheduler, width=96, guidance_scale=30.0)
    mine = ours(FluxFamily(fill, task=Task.FILL), asked, MASKED)
    assert difference(mine, latents_of(fill, asked, MASKED)) < TOLERANCE


@pytest.mark.parametrize("given", [Pictures(), SQUARE, Pictures(mask=left_half(64, 64))])
def test_a_fill_checkpoint_without_image_and_mask_is_refused(
    fill: FluxFillPipeline, given: Pictures
) -> None:
    with pytest.raises(RequestRefusedError, match="give image and mask") as refused:
        begin(FluxFamily(fill, task=Task.FILL), request(), given)
    assert refused.value.parameter == "mask"


# Kontext


# FluxKontextPipeline takes no DPM++, as that takes no sigmas.
@pytest.mark.parametrize("scheduler", [None, "flow_match_euler", "unipc"])
def test_a_reference_is_looked_at_as_the_pipeline_does(
    kontext: FluxKontextPipeline, scheduler: str | None
) -> None:
    asked = request(scheduler=scheduler, height=96)
    edit = FluxFamily(kontext, task=Task.EDIT, reference_sizes=())
    assert difference(ours(edit, asked, EDITED), latents_of(kontext, asked, EDITED)) < TOLERANCE


def test_without_references_an_edit_checkpoint_draws_as_a_plain_one(
    kontext: FluxKontextPipeline,
) -> None:
    asked = request(width=96)
    mine = ours(FluxFamily(kontext, task=Task.EDIT), asked)
    plain = FluxPipeline(**kontext.components)
    assert difference(mine, latents_of(plain, asked)) < TOLERANCE
    assert difference(mine, latents_of(kontext, asked)) < TOLERANCE


@pytest.mark.parametrize("references", [(), EDITED.references])
@pytest.mark.parametrize("scheduler", PIPELINES_TAKE)
def test_an_edit_checkpoint_repaints_a_mask_as_its_pipeline_does(
    kontext: FluxKontextPipeline, scheduler: str, references: tuple[Image.Image, ...]
) -> None:
    given = Pictures(MASKED.image, MASKED.mask, references)
    asked = request(scheduler=scheduler, strength=0.8, width=96)
    edit = FluxFamily(kontext, task=Task.EDIT, reference_sizes=())
    assert difference(ours(edit, asked, given), latents_of(kontext, asked, given)) < TOLERANCE


def test_an_edit_checkpoint_redraws_a_picture_as_a_plain_one(kontext: FluxKontextPipeline) -> None:
    asked = request(strength=0.6)
    plain = FluxPipeline(**kontext.components)
    mine = ours(FluxFamily(kontext, task=Task.EDIT), asked, SQUARE)
    assert difference(mine, latents_of(plain, asked, SQUARE)) < TOLERANCE


def test_references_of_another_checkpoint_are_refused(flux: FluxPipeline) -> None:
    with pytest.raises(RequestRefusedError, match="does not look at references") as refused:
        begin(FluxFamily(flux), request(), EDITED)
    assert refused.value.parameter == "references"


# Heun, which no pipeline of diffusers takes


@pytest.mark.parametrize("strength", [None, 0.6])
def test_heun_draws_what_a_plain_loop_draws(flux: FluxPipeline, strength: float | None) -> None:
    asked = request(scheduler="flow_match_heun", strength=strength, num_inference_steps=5)
    given = Pictures() if strength is None else SQUARE
    row = begin(FluxFamily(flux), asked, given)
    assert row.total_steps == (5 if strength is None else 3)
    theirs = _heun(flux, asked, row.latents)
    finish(FluxFamily(flux), [row])
    assert difference(row.latents, theirs) < TOLERANCE


def test_heun_keeps_what_a_mask_keeps(flux: FluxPipeline) -> None:
    row = begin(FluxFamily(flux), request(scheduler="flow_match_heun", width=96), MASKED)
    finish(FluxFamily(flux), [row])
    kept = row.blend.mask == 0  # type: ignore[union-attr]
    assert torch.equal(row.latents[kept], row.blend.clean[kept])  # type: ignore[union-attr]


@torch.inference_mode()
def _heun(flux: FluxPipeline, asked: ResolvedRequest, latents: torch.Tensor) -> torch.Tensor:
    tokens = latents.shape[1]
    mu = 0.5 + (tokens - 256) * (1.15 - 0.5) / (4096 - 256)
    scheduler = FlowMatchHeunDiscreteScheduler()
    scheduler.register_to_config(shift=math.exp(mu))
    scheduler.set_timesteps(asked.num_inference_steps)
    left_out = 0 if asked.strength is None else 2 * 2
    scheduler.set_begin_index(left_out)
    embeds, pooled, text_ids = flux.encode_prompt(
        asked.prompt, None, max_sequence_length=asked.max_sequence_length
    )
    ids = torch.cartesian_prod(torch.zeros(1), torch.arange(4.0), torch.arange(4.0))
    for timestep in scheduler.timesteps[left_out:]:
        velocity = flux.transformer(
            hidden_states=latents,
            timestep=timestep[None] / 1000,
            guidance=torch.tensor([asked.guidance_scale]),
            pooled_projections=pooled,
            encoder_hidden_states=embeds,
            txt_ids=text_ids,
            img_ids=ids,
        ).sample
        latents = scheduler.step(velocity, timestep, latents).prev_sample
    return latents


# References of every shape


def test_a_reference_gets_the_preferred_size_of_nearest_shape(
    kontext: FluxKontextPipeline,
) -> None:
    wide = Pictures(references=(noise(330, 150),))
    asked = request(num_inference_steps=1)
    row = begin(FluxFamily(kontext, task=Task.EDIT), asked, wide)
    assert row.reference_grid == (688 // 16, 1504 // 16)
    finish(FluxFamily(kontext, task=Task.EDIT), [row])
    theirs = latents_of(kontext, asked, wide, auto_resize=True)
    assert difference(row.latents, theirs) < TOLERANCE


def test_several_references_stand_side_by_side_as_high_as_the_lowest() -> None:
    red, blue = Image.new("RGB", (40, 80), "red"), Image.new("RGB", (64, 32), "blue")
    row = flux_references.one_reference([red, blue], 16, sizes=())
    assert row.size == (80, 32)
    assert row.getpixel((4, 16)) == (255, 0, 0)
    assert row.getpixel((40, 16)) == (0, 0, 255)


def test_a_reference_smaller_than_a_token_is_refused() -> None:
    with pytest.raises(RequestRefusedError, match="at least 16 x 16") as refused:
        flux_references.one_reference([noise(400, 8)], 16)
    assert refused.value.parameter == "references"
