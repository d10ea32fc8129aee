"""Which noise levels a Flux picture goes through, as diffusers' pipelines set them."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import torch
from diffusers import SchedulerMixin
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from server.domain.errors import RequestRefusedError


def set_timesteps(
    scheduler: SchedulerMixin, steps: int, tokens: int, device: torch.device, *, text_alone: bool
) -> None:
    """Set `steps` steps on `scheduler`.

    Schedulers that make flow sigmas of their own may do so in `FluxPipeline`; its siblings for
    pictures hand them the plain ones. Both are followed where the scheduler takes sigmas at all.

    Args:
        scheduler: a fresh one.
        steps: at least 1.
        tokens: of the picture, for checkpoints that shift by size.
        device: where the timesteps will be.
        text_alone: the picture is one of `FluxPipeline`'s.
    """
    config, taken = scheduler.config, inspect.signature(scheduler.set_timesteps).parameters
    chosen = bool(config.get("use_flow_sigmas")) and text_alone
    arguments: dict[str, Any] = {"num_inference_steps": steps}
    if "sigmas" in taken and not chosen:
        arguments = {"sigmas": np.linspace(1.0, 1 / steps, steps)}
    if config.get("use_dynamic_shifting"):
        mu = _mu(scheduler, tokens)
        if "mu" in taken:
            arguments["mu"] = mu
        else:  # Heun knows only a fixed shift, and e^mu is what mu means
            scheduler.register_to_config(shift=math.exp(mu))
    scheduler.set_timesteps(device=device, **arguments)


def first_step(scheduler: SchedulerMixin, steps: int, strength: float | None) -> int:
    """Return the index of the first timestep to take.

    Raises:
        RequestRefusedError: strength leaves no step.
    """
    if strength is None:
        return 0
    # As diffusers has it for Flux: what is left out is rounded, not what is taken.
    skipped = int(max(steps - min(steps * strength, steps), 0))
    if skipped >= steps:
        raise RequestRefusedError(
            f"strength {strength:g} of {steps} steps is less than one step; take more strength",
            parameter="strength",
        )
    first: int = skipped * scheduler.order
    return first


def add_noise(
    scheduler: SchedulerMixin, clean: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor
) -> torch.Tensor:
    """Return `clean` as noisy as the step that `scheduler` is at, `timestep` of shape (1,).

    Diffusers' pipelines call `scale_noise`. DPM++ and UniPC name the same thing `add_noise`, so
    the pipelines refuse them for pictures; they are drawn here as if they had that name.
    """
    if hasattr(scheduler, "scale_noise"):
        noisy: torch.Tensor = scheduler.scale_noise(clean, timestep, noise)
        return noisy
    added: torch.Tensor = scheduler.add_noise(clean, noise, timestep)
    return added


def _mu(scheduler: SchedulerMixin, tokens: int) -> float:
    config = scheduler.config
    mu: float = calculate_shift(
        tokens,
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", 1.15),
    )
    return mu
