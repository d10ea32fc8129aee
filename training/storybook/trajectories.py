"""The guided model's own way from noise to picture, kept at the few points where a student stops.

The way is an ordinary differential equation without chance, so every point has exactly one next
point: a student can learn long steps along it from few examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import CLIPTokenizer

from training.storybook.denoiser import encode_tokens
from training.storybook.loop import save_atomically, step_generator
from training.storybook.models import Denoiser
from training.storybook.untyped import NoiseScheduler, Pipeline, diffusers
from training.storybook.world.captions import caption
from training.storybook.world.scenes import training_scene

SHARD = 64
CAPTION_SEED = 60_000_000


@dataclass(frozen=True)
class TrajectoryRecipe:
    """Which trajectories are kept."""

    count: int = 1728
    student_steps: int = 4
    teacher_steps: int = 12  # a multiple of the student's
    guidance_scale: float = 3.0
    seed: int = 4


@dataclass(frozen=True)
class Trajectories:
    """Points on the way, and the captions.

    Attributes:
        points: (trajectories, student steps + 1, channels, h, w), float16; noise first, each as
            the scheduler holds it: a picture's latents plus sigma times noise.
        tokens: (trajectories, length).
        sigmas: (student steps + 1,), the last one 0.
        timesteps: (student steps,).
    """

    points: torch.Tensor
    tokens: torch.Tensor
    sigmas: torch.Tensor
    timesteps: torch.Tensor

    def __len__(self) -> int:
        return len(self.points)


def keep_trajectories(
    recipe: TrajectoryRecipe, pipeline: Pipeline, folder: Path, *, bfloat16: bool
) -> Trajectories:
    """Follow the teacher shard by shard; shards that are already in `folder` are kept."""
    teacher = Denoiser(pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2)
    shards = []
    for first in range(0, recipe.count, SHARD):
        path = folder / f"{first:06}.pt"
        if not path.exists():
            tokens = _tokens(pipeline.tokenizer, range(first, min(first + SHARD, recipe.count)))
            noise = torch.randn(
                (len(tokens), *_latent_shape(pipeline)),
                generator=step_generator(recipe.seed, first),
            )
            points = follow(teacher, pipeline.scheduler, tokens, noise, recipe, bfloat16=bfloat16)
            save_atomically({"points": points.half(), "tokens": tokens}, path)
        shards.append(torch.load(path, weights_only=True))
    points, tokens = (torch.cat([shard[name] for shard in shards]) for name in ("points", "tokens"))
    coarse = _schedule(pipeline.scheduler, recipe.student_steps)
    return Trajectories(points, tokens, coarse.sigmas.float(), coarse.timesteps.float())


@torch.no_grad()
def follow(
    teacher: Denoiser,
    scheduler: NoiseScheduler,
    tokens: torch.Tensor,
    noise: torch.Tensor,
    recipe: TrajectoryRecipe,
    *,
    bfloat16: bool,
) -> torch.Tensor:
    """Return the points (batch, student steps + 1, ...) that start from `noise` of unit variance.

    Source: Lu et al. 2022, arXiv:2211.01095, DPM-Solver++(2M), in the variance exploding form.
    """
    fine = _schedule(scheduler, recipe.teacher_steps)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        guess = guided(teacher, tokens, recipe.guidance_scale)
    sigmas = fine.sigmas.double().tolist()
    x = noise * (sigmas[0] ** 2 + 1) ** 0.5
    points, before = [x], torch.zeros_like(x)
    for i, timestep in enumerate(fine.timesteps.tolist()):
        sigma = sigmas[i]
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            velocity = guess(x / (sigma**2 + 1) ** 0.5, timestep).float()
        clean = clean_from_velocity(x, velocity, torch.tensor(sigma))
        x, before = _second_order(x, clean, before, sigmas, i), clean
        if (i + 1) % (recipe.teacher_steps // recipe.student_steps) == 0:
            points.append(x)
    return torch.stack(points, 1)


def clean_from_velocity(
    x: torch.Tensor, velocity: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """Return the clean latents that a predicted velocity means, at noise level `sigma`."""
    return x / (sigma**2 + 1) - velocity * sigma / (sigma**2 + 1).sqrt()


def velocity_of_step(
    x: torch.Tensor, following: torch.Tensor, sigma: torch.Tensor, sigma_after: torch.Tensor
) -> torch.Tensor:
    """Return the velocity with which one Euler step leads from `x` exactly to `following`."""
    clean = x + sigma * (following - x) / (sigma - sigma_after)
    return (x / (sigma**2 + 1) - clean) * (sigma**2 + 1).sqrt() / sigma


def guided(
    teacher: Denoiser, tokens: torch.Tensor, scale: float
) -> Callable[[torch.Tensor, float], torch.Tensor]:
    """Return the teacher's guided velocity as a function of the scaled latents and the time."""
    embeds, pooled = encode_tokens(teacher, tokens)
    both = torch.cat([torch.zeros_like(embeds), embeds])
    conditions = {
        "text_embeds": torch.cat([torch.zeros_like(pooled), pooled]),
        "time_ids": time_ids(2 * len(tokens), teacher),
    }

    def velocity(x: torch.Tensor, timestep: float) -> torch.Tensor:
        predicted = teacher.unet(
            torch.cat([x, x]), timestep, encoder_hidden_states=both, added_cond_kwargs=conditions
        ).sample
        empty, asked = predicted.chunk(2)
        guided: torch.Tensor = empty + scale * (asked - empty)
        return guided

    return velocity


def time_ids(rows: int, denoiser: Denoiser) -> torch.Tensor:
    """Return SDXL's size conditions of pictures in the model's own size, (rows, 6)."""
    size = 4.0 * denoiser.unet.config.sample_size
    return torch.tensor([[size, size, 0, 0, size, size]]).expand(rows, -1)


def _second_order(
    x: torch.Tensor, clean: torch.Tensor, before: torch.Tensor, sigmas: list[float], i: int
) -> torch.Tensor:
    sigma, following = sigmas[i], sigmas[i + 1]
    if following == 0:
        return clean
    if i > 0:
        half = math.log(sigma / following) / (2 * math.log(sigmas[i - 1] / sigma))
        clean = clean + half * (clean - before)
    share = following / sigma
    return share * x + (1 - share) * clean


def _schedule(scheduler: NoiseScheduler, steps: int) -> NoiseScheduler:
    fresh = diffusers().EulerDiscreteScheduler.from_config(scheduler.config)
    fresh.set_timesteps(steps)
    return fresh


def _tokens(tokenizer: CLIPTokenizer, rows: range) -> torch.Tensor:
    texts = [caption(training_scene(CAPTION_SEED + i), CAPTION_SEED + i) for i in rows]
    found: torch.Tensor = tokenizer(
        texts, padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    return found


def _latent_shape(pipeline: Pipeline) -> tuple[int, int, int]:
    edge = pipeline.unet.config.sample_size
    return (pipeline.unet.config.in_channels, edge, edge)
