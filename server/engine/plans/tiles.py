"""Decoding in overlapping tiles: the memory of one tile, whatever the size of the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from diffusers import AutoencoderKL

TILE = 64  # latents a side: 512 pixels
OVERLAP = 16  # latents that neighbours share: 128 pixels

Decode = Callable[[torch.Tensor], torch.Tensor]


def decoded(vae: AutoencoderKL, latents: torch.Tensor, *, tiled: bool) -> torch.Tensor:
    """Return the picture of `latents`, (1, 3, height, width), decoded whole or in tiles.

    The VAE is not told which: pictures of both kinds can be decoded side by side.
    """

    def decode(latents: torch.Tensor) -> torch.Tensor:
        picture: torch.Tensor = vae.decode(latents, return_dict=False)[0]
        return picture

    return decode_in_tiles(decode, latents) if tiled else decode(latents)


def decode_in_tiles(
    decode: Decode, latents: torch.Tensor, *, tile: int = TILE, overlap: int = OVERLAP
) -> torch.Tensor:
    """Return what `decode` makes of `latents`, made tile by tile and faded into one another.

    Each tile is normalised by itself, so the picture is not quite that of a whole decoding. Small
    latents are one tile, and exactly that.

    Args:
        decode: (1, channels, height, width) to a picture of the same shape times some scale.
        latents: of any size.
        tile: largest side of a tile, in latents.
        overlap: how much of it neighbours share, less than half of it.
    """
    height, width = latents.shape[-2:]
    if max(height, width) <= tile:
        return decode(latents)
    picture = weight = torch.empty(0)
    for top in _starts(height, tile, overlap):
        for left in _starts(width, tile, overlap):
            piece = decode(latents[..., top : top + tile, left : left + tile])
            scale = piece.shape[-1] // min(tile, width)
            if not picture.numel():
                shape = (*piece.shape[:-2], height * scale, width * scale)
                picture = piece.new_zeros(shape, dtype=torch.float32)
                weight = picture.new_zeros(shape[-2:])
            rows = slice(top * scale, top * scale + piece.shape[-2])
            columns = slice(left * scale, left * scale + piece.shape[-1])
            mask = _ramp(piece.shape[-2], overlap * scale, piece)[:, None]
            mask = mask * _ramp(piece.shape[-1], overlap * scale, piece)
            picture[..., rows, columns] += piece.float() * mask
            weight[rows, columns] += mask
    return (picture / weight).to(latents.dtype)


def _starts(length: int, tile: int, overlap: int) -> Iterator[int]:
    """Yield where tiles begin: evenly spread, no further apart than leaves them their overlap."""
    if length <= tile:
        yield 0
        return
    count = -(-(length - overlap) // (tile - overlap))
    for index in range(count):
        yield round(index * (length - tile) / (count - 1))


def _ramp(length: int, fade: int, like: torch.Tensor) -> torch.Tensor:
    """Return a line of weights that rises over `fade` from nearly nothing to 1, and falls so."""
    place = torch.arange(length, device=like.device, dtype=torch.float32)
    return (torch.minimum(place, length - 1 - place) + 1).clamp(max=fade) / fade
