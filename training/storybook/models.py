"""The shapes of the Storybook models: real diffusers and transformers classes, only small."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL

AUTOENCODER_SCALE = 4  # pixels on a side for one latent


@dataclass(frozen=True)
class AutoencoderShape:
    """Channels from full size down to the latents' size."""

    channels: tuple[int, ...] = (16, 64, 112)
    latent_channels: int = 4
    norm_groups: int = 4


def build_autoencoder(shape: AutoencoderShape) -> AutoencoderKL:
    """Return a fresh autoencoder: pictures (batch, 3, h, w) in -1..1, latents a quarter as wide."""
    levels = len(shape.channels)
    autoencoder = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=shape.channels,
        layers_per_block=1,
        latent_channels=shape.latent_channels,
        norm_num_groups=shape.norm_groups,
        sample_size=64,
        mid_block_add_attention=False,
    )
    with torch.no_grad():  # almost no noise at first: else a fresh decoder learns only the mean
        autoencoder.quant_conv.bias[shape.latent_channels :].fill_(-6.0)
    return autoencoder
