"""Flux pictures of many kinds in one forward, and what is seen of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxFillPipeline, FluxKontextPipeline, FluxPipeline

from server.domain.images import ResolvedRequest
from server.domain.models import Family, Task
from server.engine import previews, schedulers
from server.engine.families.base import Pictures, Trajectory
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
    request,
)
from tests.engine.flux_reference import latents_of

NAMES = sorted(schedulers.SCHEDULERS[Family.FLUX])


@pytest.fixture(scope="module")
def flux(model_folders: dict[str, Path]) -> FluxPipeline:
    return opened(FluxPipeline, model_folders["flux"])


@pytest.fixture(scope="module")
def fill(model_folders: dict[str, Path]) -> FluxFillPipeline:
    return opened(FluxFillPipeline, model_folders["flux-fill"])


@pytest.fixture(scope="module")
def kontext(model_folders: dict[str, Path]) -> FluxKontextPipeline:
    return opened(FluxKontextPipeline, model_folders["flux-kontext"])


# Company

Rows = list[tuple[ResolvedRequest, Pictures]]

TEXT_ROWS: Rows = [
    (request(prompt="a cat", guidance_scale=2.0, seed=1), Pictures()),
    (request(prompt="a robot", num_inference_steps=7, scheduler="dpmpp_2m", seed=2), Pictures()),
    (request(true_cfg_scale=2.5, negative_prompt="a hat", scheduler="unipc", seed=3), Pictures()),
]
IMAGE_ROWS: Rows = [
    (request(strength=0.5, seed=1, num_inference_steps=6), SQUARE),
    (request(strength=0.9, scheduler="dpmpp_2m", prompt="a robot"), Pictures(noise(64, 64, 8))),
    (request(seed=3), Pictures()),
]
MASKED_ROWS: Rows = [
    (request(width=96, strength=0.7, seed=1, num_inference_steps=6), MASKED),
    (request(width=96, strength=1.0, scheduler="unipc", prompt="a robot"), MASKED),
    (
        request(width=96, strength=0.8, true_cfg_scale=2.0, negative_prompt="a hat"),
        Pictures(noise(96, 64, 8), left_half(96, 64).rotate(180)),
    ),
]
FILL_ROWS: Rows = [
    (request(width=96, seed=1, num_inference_steps=6), MASKED),
    (request(width=96, strength=0.8, scheduler="unipc", prompt="a robot"), MASKED),
    (
        request(width=96, guidance_scale=30.0),
        Pictures(noise(96, 64, 8), left_half(96, 64).rotate(180)),
    ),
]
KONTEXT_ROWS: Rows = [
    (request(seed=1, num_inference_steps=6), EDITED),
    (request(scheduler="unipc", prompt="a robot"), Pictures(references=(noise(64, 48, 8),))),
    (request(true_cfg_scale=2.0, negative_prompt="a hat"), EDITED),
]


@pytest.mark.parametrize(
    ("name", "task", "asked"),
    [
        ("flux", Task.TEXT, TEXT_ROWS),
        ("flux", Task.TEXT, IMAGE_ROWS),
        ("flux", Task.TEXT, MASKED_ROWS),
        ("fill", Task.FILL, FILL_ROWS),
        ("kontext", Task.EDIT, KONTEXT_ROWS),
    ],
    ids=["text", "image", "mask", "fill", "kontext"],
)
def test_rows_that_start_one_after_the_other_share_forwards_and_keep_their_pictures(
    request: pytest.FixtureRequest, name: str, task: Task, asked: Rows
) -> None:
    pipeline = request.getfixturevalue(name)
    family = FluxFamily(pipeline, task=task, reference_sizes=())
    rows: list[Trajectory] = []
    for one, given in asked:
        rows.append(begin(family, one, given))
        _one_step(family, rows)
    assert len({row.bucket for row in rows}) == 1
    assert len({row.step_index for row in rows}) == len(rows)
    finish(family, rows)
    for row, (one, given) in zip(rows, asked, strict=True):
        assert difference(row.latents, latents_of(pipeline, one, given)) < TOLERANCE


def test_rows_whose_tokens_stand_in_other_places_never_share_a_forward(
    flux: FluxPipeline, kontext: FluxKontextPipeline
) -> None:
    plain = FluxFamily(flux)
    edit = FluxFamily(kontext, task=Task.EDIT, reference_sizes=())
    tall, wide = Pictures(references=(noise(48, 64),)), Pictures(references=(noise(64, 48),))
    rows = [
        begin(plain, request(width=96)),
        begin(plain, request(height=96)),
        begin(plain, request(height=96, max_sequence_length=48)),
        begin(edit, request(height=96), tall),
        begin(edit, request(height=96), wide),
    ]
    assert rows[3].references.shape == rows[4].references.shape  # type: ignore[union-attr]
    assert len({row.bucket for row in rows}) == len(rows)


@torch.inference_mode()
def _one_step(family: FluxFamily, rows: list[Trajectory]) -> None:
    for row, noise_pred in zip(rows, family.predict(rows), strict=True):
        row.advance(noise_pred)


# Pixels and previews


def test_the_finished_pixels_of_a_wide_picture_are_the_pipelines(flux: FluxPipeline) -> None:
    asked = request(width=96, height=64, num_inference_steps=2)
    family = FluxFamily(flux)
    row = begin(family, asked)
    finish(family, [row])
    flux.set_progress_bar_config(disable=True)
    theirs = flux(
        asked.prompt,
        width=96,
        height=64,
        num_inference_steps=2,
        guidance_scale=asked.guidance_scale,
        max_sequence_length=32,
        generator=torch.Generator().manual_seed(asked.seed),
        output_type="np",
    ).images[0]
    with torch.inference_mode():
        pixels, preview = family.decode(row).numpy(), family.preview(row)
    assert pixels.shape == (64, 96, 3)
    assert np.abs(pixels - theirs * 255).max() <= 1  # a last bit before rounding
    assert preview.shape == (8, 12, 3)


@pytest.mark.parametrize("given", [Pictures(), SQUARE, Pictures(SQUARE.image, left_half(64, 64))])
@pytest.mark.parametrize("scheduler", NAMES)
@torch.inference_mode()
def test_the_guess_comes_ever_nearer_to_the_finished_latents(
    flux: FluxPipeline, scheduler: str, given: Pictures
) -> None:
    family = FluxFamily(flux)
    row = begin(family, request(scheduler=scheduler, num_inference_steps=8), given)
    assert previews.denoised(row) is row.latents  # nothing is known before the first step
    guesses = []
    while not row.is_done:
        row.advance(family.predict([row])[0])
        guesses.append(previews.denoised(row))
    first, middle, last = (
        (guesses[at] - row.latents).norm().item() for at in (0, len(guesses) // 2, -1)
    )
    assert first > middle > last
    assert last < 0.05 * first
