"""Small pictures of what is not finished yet: latents times one fixed matrix, no decoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    SchedulerMixin,
)
from torch.nn import functional

from server.engine.families.base import LastStep, Trajectory, to_pixels

_CARD_PIXELS = 256


@dataclass(frozen=True, slots=True)
class PreviewFactors:
    """The linear map from one latent pixel to red, green and blue in -1..1.

    Attributes:
        matrix: (latent channels + 1, 3); the last row is the constant part.
    """

    matrix: torch.Tensor

    def picture(self, latents: torch.Tensor) -> torch.Tensor:
        """Return (1, channels, height, width) latents as (height, width, 3) uint8."""
        pixels = latents[0].flatten(1).T.float()
        colours = _with_constant(pixels) @ self.matrix
        shape = (1, *latents.shape[-2:], 3)
        return to_pixels(colours.reshape(shape).permute(0, 3, 1, 2))


def fit(vae: AutoencoderKL, scale: float, shift: float) -> PreviewFactors:
    """Return the factors that come nearest, by least squares, to what this decoder paints.

    They are fitted to the model's own VAE, on a card of colours and shapes: every checkpoint
    gets its own, and nothing is copied from elsewhere.

    Args:
        vae: the model's decoder and encoder.
        scale: latents of the sampler are (latents of the VAE - shift) * scale.
        shift: see `scale`.
    """
    card = calibration_card().to(vae.device, vae.dtype)
    latents = vae.encode(card).latent_dist.mode()
    painted = vae.decode(latents).sample.float()
    small = functional.adaptive_avg_pool2d(painted, latents.shape[-2:])
    inputs = _with_constant(((latents[0].float() - shift) * scale).flatten(1).T)
    matrix = torch.linalg.lstsq(inputs.cpu(), small[0].flatten(1).T.cpu(), driver="gelsd").solution
    return PreviewFactors(matrix.to(vae.device))


def denoised(trajectory: Trajectory) -> torch.Tensor:
    """Return the guess of the finished latents that the last step implies.

    What a mask keeps is known, so that it is no guess.
    """
    last = trajectory.last_step
    if last is None:
        return trajectory.latents
    guess = _guess(trajectory.scheduler, last)
    if guess is None:
        return trajectory.latents
    return guess if trajectory.blend is None else trajectory.blend.apply(guess, None)


def _guess(scheduler: SchedulerMixin, last: LastStep) -> torch.Tensor | None:
    if isinstance(scheduler, (FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler)):
        sigma = last.timestep / scheduler.config.num_train_timesteps
        guess: torch.Tensor = last.latents - sigma * last.noise_pred
        return guess
    for name in ("pred_original_sample", "denoised"):
        found = getattr(last.output, name, None)
        if isinstance(found, torch.Tensor):
            return found
    kept = getattr(scheduler, "model_outputs", [None])[-1]  # DPM++ and UniPC
    return kept if isinstance(kept, torch.Tensor) else None


def calibration_card() -> torch.Tensor:
    """Return (1, 3, size, size) in -1..1: smooth colours, blocks of colour, and stripes."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 4, 4, generator=generator)
    smooth = functional.interpolate(coarse, size=_CARD_PIXELS, mode="bicubic")
    blocks = functional.interpolate(
        torch.rand(1, 3, 16, 16, generator=generator), size=_CARD_PIXELS, mode="nearest"
    )
    half = _CARD_PIXELS // 2
    card = smooth.clone()
    card[..., half:] = blocks[..., half:]
    card[..., half // 2 : half : 8, :half] = 1.0
    return (card * 2 - 1).clamp(-1, 1)


def _with_constant(pixels: torch.Tensor) -> torch.Tensor:
    return torch.cat([pixels, pixels.new_ones(len(pixels), 1)], dim=1)
