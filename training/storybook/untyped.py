"""diffusers as a type checker must see it: a library whose classes carry no types."""

from __future__ import annotations

import importlib
from typing import Any, TypeAlias

Untyped: TypeAlias = Any
Autoencoder: TypeAlias = Any  # diffusers.AutoencoderKL
UNet: TypeAlias = Any  # diffusers.UNet2DConditionModel
NoiseScheduler: TypeAlias = Any  # diffusers.DDPMScheduler
Pipeline: TypeAlias = Any  # diffusers.StableDiffusionXLPipeline


def diffusers() -> Untyped:
    """Return the library; importing it takes seconds, so it happens on first use."""
    return importlib.import_module("diffusers")
