"""The denoiser's recipe: v-prediction on cached latents, the text encoders trained along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import CLIPTokenizer

from training.storybook.latents import Latents
from training.storybook.loop import Average, Run, Schedule, Stateful, step_generator
from training.storybook.models import (
    Denoiser,
    DenoiserShape,
    build_denoiser,
    training_scheduler,
)
from training.storybook.muon import muon_for
from training.storybook.untyped import NoiseScheduler, UNet, diffusers

DENOISER_EDGES = {"conv_in", "conv_out", "embeddings"}
BUCKETS_SEED = 1000  # keeps the choice of a bucket apart from what is drawn in it
EMPTY_CAPTIONS = 0.1  # share of captions replaced by zeros: what guidance compares with


@dataclass(frozen=True)
class DenoiserRecipe:
    """All that decides what the denoiser becomes, besides the latents."""

    shape: DenoiserShape = field(default_factory=DenoiserShape)
    schedule: Schedule = field(
        default_factory=lambda: Schedule(1400, 3.5e-3, 100, 0.7, checkpoint_every=200)
    )
    batch_size: int = 64
    size: int = 64
    decay: float = 0.999
    seed: int = 2


@dataclass(frozen=True)
class Batch:
    """One step's latents and conditions, all drawn from the step's own generator."""

    latents: torch.Tensor  # (batch, channels, h, w), scaled
    noise: torch.Tensor
    timesteps: torch.Tensor  # (batch,)
    tokens: torch.Tensor  # (batch, length)
    time_ids: torch.Tensor  # (batch, 6): original size, crop, target size
    empty: torch.Tensor  # (batch,), whether the caption is dropped


def train_denoiser(
    recipe: DenoiserRecipe,
    buckets: Sequence[Latents],
    scaling_factor: float,
    tokenizer: CLIPTokenizer,
    folder: Path,
    *,
    bfloat16: bool,
    show: Callable[[Denoiser, int], None] = lambda _, __: None,
) -> Denoiser:
    """Train, or go on training, in `folder`; return the averaged models in eval mode.

    Args:
        recipe: shapes, steps and seed.
        buckets: what to learn, by size of picture; each step learns from one of them.
        scaling_factor: makes latents about as large as noise; the autoencoder's own.
        tokenizer: whose tokens the latents carry.
        folder: where checkpoints and the log are kept.
        bfloat16: whether to compute in half precision.
        show: called with the averaged models and the steps done after every checkpoint.
    """
    torch.manual_seed(recipe.seed)
    denoiser = build_denoiser(recipe.shape, tokenizer, recipe.size)
    use_plain_attention(denoiser.unet)
    modules, noise = denoiser.modules, training_scheduler()
    optimizer = muon_for(modules.values(), recipe.schedule.learning_rate, 1e-2, DENOISER_EDGES)
    average = Average(modules, recipe.decay)
    parameters = [p for module in modules.values() for p in module.parameters()]

    def take_step(step: int) -> dict[str, float]:
        batch = draw_batch(_bucket(buckets, recipe, step), recipe, scaling_factor, step)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = velocity_loss(denoiser, noise, batch)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update(step)
        return {"loss": loss.item(), "gradient_norm": norm.item()}

    def show_average(step: int) -> None:
        average.swap()
        show(denoiser, step)
        average.swap()

    parts: dict[str, Stateful] = {**modules, "optimizer": optimizer, "average": average}
    Run(folder, recipe.schedule).train(parts, optimizer, take_step, show_average)
    average.swap()
    denoiser.unet.set_default_attn_processor()
    for module in modules.values():
        module.eval()
    return denoiser


def use_plain_attention(unet: UNet) -> None:
    """Compute attention step by step: on a CPU its backward pass is faster than the fused one."""
    unet.set_attn_processor(diffusers().models.attention_processor.AttnProcessor())


def _bucket(buckets: Sequence[Latents], recipe: DenoiserRecipe, step: int) -> Latents:
    generator = step_generator(recipe.seed + BUCKETS_SEED, step)
    return buckets[int(torch.randint(0, len(buckets), (), generator=generator))]


def draw_batch(latents: Latents, recipe: DenoiserRecipe, scaling_factor: float, step: int) -> Batch:
    """Return the batch of step `step`; always the same one for the same recipe."""
    generator, size = step_generator(recipe.seed, step), recipe.batch_size
    rows = torch.randint(0, len(latents), (size,), generator=generator)
    phrasing = torch.randint(0, latents.tokens.shape[1], (size,), generator=generator)
    mean, logvar = latents.moments[rows].float().chunk(2, 1)
    sampled = mean + torch.exp(0.5 * logvar) * torch.randn(mean.shape, generator=generator)
    original = latents.original_sizes[rows].float().flip(1)  # SDXL says height first
    target = torch.tensor(latents.size).float().flip(0).expand_as(original)
    return Batch(
        latents=sampled * scaling_factor,
        noise=torch.randn(mean.shape, generator=generator),
        timesteps=torch.randint(0, 1000, (size,), generator=generator),
        tokens=latents.tokens[rows, phrasing],
        time_ids=torch.cat([original, torch.zeros_like(original), target], 1),
        empty=torch.rand(size, generator=generator) < EMPTY_CAPTIONS,
    )


def velocity_loss(denoiser: Denoiser, noise: NoiseScheduler, batch: Batch) -> torch.Tensor:
    """Return the mean squared error of the predicted velocity.

    Source: Salimans and Ho 2022, arXiv:2202.00512.
    """
    noisy = noise.add_noise(batch.latents, batch.noise, batch.timesteps)
    velocity = noise.get_velocity(batch.latents, batch.noise, batch.timesteps)
    embeds, pooled = encode_tokens(denoiser, batch.tokens)
    predicted = denoiser.unet(
        noisy,
        batch.timesteps,
        encoder_hidden_states=embeds.masked_fill(batch.empty[:, None, None], 0),
        added_cond_kwargs={
            "text_embeds": pooled.masked_fill(batch.empty[:, None], 0),
            "time_ids": batch.time_ids,
        },
    ).sample
    return torch.nn.functional.mse_loss(predicted.float(), velocity)


def encode_tokens(denoiser: Denoiser, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the UNet reads, (batch, length, widths together), and the pooled (batch, width).

    As SDXL does: the last layer but one of both encoders, and the second one's projection.
    """
    first = denoiser.text_encoder(tokens, output_hidden_states=True)
    second = denoiser.text_encoder_2(tokens, output_hidden_states=True)
    embeds = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
    return embeds, second.text_embeds
