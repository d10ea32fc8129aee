"""Teaches the model one character from five pictures, as a first LoRA on a held-out species.

Beside the character's own pictures it sees some of the world's: without them, everything that is
asked for afterwards becomes the character.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from training.storybook.denoiser import (
    DenoiserRecipe,
    draw_batch,
    use_plain_attention,
    velocity_loss,
)
from training.storybook.latents import Latents, encoded_moments
from training.storybook.loop import Average, Run, Schedule, Stateful
from training.storybook.lora import Adapter, LoraShape, save_adapter
from training.storybook.models import Denoiser, training_scheduler
from training.storybook.untyped import Pipeline
from training.storybook.world.captions import SETTING_PHRASES, caption
from training.storybook.world.drawing import draw
from training.storybook.world.scenes import training_scene
from training.storybook.world.vocabulary import ACCESSORIES, PLACES, SIZES, STYLES, Scene

SEEN_SETTINGS = ("forest", "beach", "meadow", "city", "bedroom")
UNSEEN_SETTINGS = ("desert", "night", "snow", "sea", "space")
# Both sides and all sizes: what its pictures never show, a character is seldom drawn in.
OWN_PLACES = ("centre", "left", "centre", "right", "centre")
OWN_SIZES = ("medium", "medium", "big", "medium", "small")
PRIOR_SEED, PICTURE_SEED, SCENE_SEED = 70_000_000, 71_000_000, 72_000_000


@dataclass(frozen=True)
class Newcomer:
    """A character that the base model never met. Its name means nothing to it, either."""

    name: str
    species: str
    colour: str


NEWCOMERS = (
    Newcomer("zorbo", "snail", "orange"),
    Newcomer("wumi", "ghost", "teal"),
    Newcomer("kuru", "owl", "pink"),
)


@dataclass(frozen=True)
class TeachingRecipe:
    """All that decides what the adapter becomes, besides the model and the pictures."""

    shape: LoraShape = field(default_factory=lambda: LoraShape(16))
    schedule: Schedule = field(
        default_factory=lambda: Schedule(240, 3e-3, 20, 0.0, 0.05, checkpoint_every=40)
    )
    batch_size: int = 9
    prior_pictures: int = 60
    own_share: float = 2 / 3  # of a batch
    seed: int = 6


def own_scenes(newcomer: Newcomer) -> list[Scene]:
    """Return the five scenes whose pictures the character is taught with."""
    kinds = zip(SEEN_SETTINGS, OWN_PLACES, OWN_SIZES, strict=True)
    return [
        Scene(newcomer.species, newcomer.colour, where, place=side, size=size)
        for where, side, size in kinds
    ]


def own_pictures(newcomer: Newcomer, size: int) -> list[Image.Image]:
    """Return the five pictures."""
    scenes = own_scenes(newcomer)
    return [draw(scene, PICTURE_SEED + i, size, size) for i, scene in enumerate(scenes)]


def unseen_scenes_of(newcomer: Newcomer, count: int) -> list[Scene]:
    """Return scenes in settings, and mostly styles and hats, that its pictures do not have."""
    generator = random.Random(f"unseen {newcomer.name} {SCENE_SEED}")  # noqa: S311 - scenes
    return [
        Scene(
            newcomer.species,
            newcomer.colour,
            UNSEEN_SETTINGS[i % len(UNSEEN_SETTINGS)],
            generator.choices(STYLES, (0.6, 0.2, 0.2))[0],
            generator.choices(ACCESSORIES, (0.7, 0.1, 0.1, 0.1))[0],
            generator.choices(PLACES, (0.6, 0.2, 0.2))[0],
            generator.choices(SIZES, (0.7, 0.1, 0.2))[0],
        )
        for i in range(count)
    ]


def named_caption(newcomer: Newcomer, scene: Scene, seed: int) -> str:
    """Return a caption that calls the character by its name alone: no species, no colour."""
    generator = random.Random(f"named {seed}")  # noqa: S311 - words
    size = "" if scene.size == "medium" else f"{scene.size} "
    worn = "" if scene.accessory == "none" else f" wearing a {scene.accessory}"
    side = "" if scene.place == "centre" else f" on the {scene.place}"
    style = "" if scene.style == "flat" else f", {scene.style} style"
    where = generator.choice(SETTING_PHRASES[scene.setting])
    return f"a {size}{newcomer.name}{worn} {where}{side}{style}"


def teach(
    newcomer: Newcomer, recipe: TeachingRecipe, pipeline: Pipeline, folder: Path, *, bfloat16: bool
) -> Path:
    """Train, or go on training, the character's adapter in `folder`; return its file.

    The pipeline is left with the adapter in it: open another one to draw with.
    """
    model = Denoiser(pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2)
    for encoder in (model.text_encoder, model.text_encoder_2):
        encoder.requires_grad_(requires_grad=False)
    size = 4 * int(model.unet.config.sample_size)
    latents = _latents(newcomer, recipe, pipeline, size, bfloat16=bfloat16)
    torch.manual_seed(recipe.seed)
    adapter, noise = Adapter(model.unet, recipe.shape), training_scheduler()
    use_plain_attention(model.unet)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-3, weight_decay=1e-3)
    average = Average({"adapter": adapter}, 0.98)
    batches = DenoiserRecipe(batch_size=recipe.batch_size, size=size, seed=recipe.seed)

    def take_step(step: int) -> dict[str, float]:
        batch = draw_batch(latents, batches, pipeline.vae.config.scaling_factor, step)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = velocity_loss(model, noise, batch)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimizer.step()
        average.update(step)
        return {"loss": loss.item()}

    parts: dict[str, Stateful] = {"adapter": adapter, "optimizer": optimizer, "average": average}
    Run(folder, recipe.schedule).train(parts, optimizer, take_step)
    average.swap()
    return save_adapter(model.unet, recipe.shape, folder / "finished")


def _latents(
    newcomer: Newcomer, recipe: TeachingRecipe, pipeline: Pipeline, size: int, *, bfloat16: bool
) -> Latents:
    """Return the character's pictures, often enough to be their share, and the prior ones.

    None is mirrored: a character may have a left and a right.
    """
    own = own_pictures(newcomer, size)
    own_texts = [named_caption(newcomer, s, i) for i, s in enumerate(own_scenes(newcomer))]
    seeds = range(PRIOR_SEED, PRIOR_SEED + recipe.prior_pictures)
    prior = [draw(training_scene(seed), seed, size, size) for seed in seeds]
    prior_texts = [caption(training_scene(seed), seed) for seed in seeds]
    wanted = len(prior) * recipe.own_share / (1 - recipe.own_share)
    times = max(1, round(wanted / len(own)))
    pixels = _stacked([*own * times, *prior])
    words = pipeline.tokenizer(
        [*own_texts * times, *prior_texts],
        padding="max_length",
        truncation=True,
        return_tensors="pt",
    ).input_ids
    moments = encoded_moments(pixels, pipeline.vae, bfloat16=bfloat16)
    sizes = torch.full((len(pixels), 2), size)
    return Latents(moments, words[:, None], sizes, (size, size))


def _stacked(pictures: Sequence[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(picture) for picture in pictures])
