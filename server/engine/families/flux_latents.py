"""Flux's tokens: latents packed 2 x 2, the places of tokens, and masks as networks read them."""

from __future__ import annotations

import torch
from PIL import Image
from torch.nn import functional

_WHITE = 128  # of 255: from here on a mask is white, as diffusers' mask processor has it


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Return (1, channels, height, width) as (1, tokens, 4 channels); the sides are even."""
    _, channels, height, width = latents.shape
    grid = latents.reshape(1, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return grid.reshape(1, height * width // 4, 4 * channels)


def unpack(tokens: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Return (1, rows * columns, 4 channels) as (1, channels, 2 rows, 2 columns)."""
    channels = tokens.shape[-1] // 4
    grid = tokens.reshape(1, rows, columns, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(1, channels, 2 * rows, 2 * columns)


def places(rows: int, columns: int, picture: int) -> torch.Tensor:
    """Return (rows * columns, 3): which picture, row and column every token belongs to.

    Args:
        rows: height in tokens.
        columns: width in tokens.
        picture: 0 is the one that is drawn, 1 the one that is looked at.
    """
    ids = torch.zeros(rows, columns, 3)
    ids[..., 0] = picture
    ids[..., 1] = torch.arange(rows)[:, None]
    ids[..., 2] = torch.arange(columns)[None, :]
    return ids.reshape(rows * columns, 3)


def redrawn(mask: Image.Image) -> torch.Tensor:
    """Return an 8-bit grey mask as (1, 1, height, width) fp32: 1 is drawn anew, 0 is kept."""
    levels = torch.frombuffer(bytearray(mask.tobytes()), dtype=torch.uint8)
    return (levels >= _WHITE).float().reshape(1, 1, mask.height, mask.width)


def grid(latents: torch.Tensor) -> tuple[int, int]:
    """Return the rows and columns of tokens that (1, channels, height, width) pack into."""
    return latents.shape[-2] // 2, latents.shape[-1] // 2


def blend_mask(pixels: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return a mask in pixels as (1, tokens, 4 channels), alike in every channel.

    Args:
        pixels: (1, 1, height, width).
        like: latents of the picture, (1, channels, height, width).
    """
    latent = functional.interpolate(pixels, size=like.shape[-2:])
    return pack(latent.repeat(1, like.shape[1], 1, 1))


def fill_mask(pixels: torch.Tensor, scale: int) -> torch.Tensor:
    """Return a mask in pixels as (1, tokens, 4 scale²): every pixel of a token is a channel.

    Args:
        pixels: (1, 1, height, width), the sides multiples of 2 `scale`.
        scale: pixels on a side of one latent.
    """
    _, _, height, width = pixels.shape
    grid = pixels.reshape(1, height // scale, scale, width // scale, scale).permute(0, 2, 4, 1, 3)
    return pack(grid.reshape(1, scale * scale, height // scale, width // scale))
