"""Pictures encoded once, with captions as tokens: the denoiser trains on these, not on pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPTokenizer

from training.storybook.autoencoder import as_tensor
from training.storybook.books import Book, FirstBook
from training.storybook.loop import save_atomically
from training.storybook.pictures import Pixels
from training.storybook.untyped import Autoencoder

COARSE_SIZES = (24, 32, 40, 48)
COARSE_EVERY = 16  # one picture of so many is coarse, so that SDXL's original size means something
SHARD = 2048
Size = tuple[int, int]  # width and height in pixels


@dataclass(frozen=True)
class LatentRecipe:
    """Which pictures are encoded."""

    book: Book = field(default_factory=FirstBook)
    pictures: int = 20_480  # in each size
    captions: int = 4  # phrasings of each
    sizes: tuple[Size, ...] = ((64, 64),)


@dataclass(frozen=True)
class Latents:
    """What the denoiser is trained on.

    Attributes:
        moments: means and log variances, (pictures, 2 * channels, h, w), float16.
        tokens: caption tokens, (pictures, captions, length).
        original_sizes: width and height of each picture before it was enlarged, (pictures, 2).
        size: width and height of all of them now.
    """

    moments: torch.Tensor
    tokens: torch.Tensor
    original_sizes: torch.Tensor
    size: Size

    def __len__(self) -> int:
        return len(self.moments)


def encode_pictures(
    recipe: LatentRecipe,
    autoencoder: Autoencoder,
    tokenizer: CLIPTokenizer,
    folder: Path,
    *,
    bfloat16: bool,
) -> tuple[Latents, ...]:
    """Encode the pictures, shard by shard; shards that are already in `folder` are kept.

    Every size has pictures of its own: no seed is drawn in two.
    """
    buckets = []
    for number, size in enumerate(recipe.sizes):
        shards = []
        first = number * recipe.pictures
        for start in range(first, first + recipe.pictures, SHARD):
            path = folder / f"{start:07}.pt"
            if not path.exists():
                seeds = range(start, min(start + SHARD, first + recipe.pictures))
                save_atomically(_shard(seeds, size, recipe, autoencoder, tokenizer, bfloat16), path)
            shards.append(torch.load(path, weights_only=True))
        columns = {name: torch.cat([shard[name] for shard in shards]) for name in shards[0]}
        buckets.append(Latents(**columns, size=size))
    return tuple(buckets)


def original_size(seed: int, size: Size) -> Size:
    """Return the width and height of training picture `seed` before it is enlarged to `size`."""
    if seed % COARSE_EVERY:
        return size
    coarse = COARSE_SIZES[seed // COARSE_EVERY % len(COARSE_SIZES)]
    width, height = size
    return width * coarse // 64, height * coarse // 64


def training_picture(book: Book, seed: int, size: Size) -> Image.Image:
    """Return training picture `seed`, blurred by enlarging where its original size is smaller."""
    picture = book.picture(seed, *size)
    coarse = original_size(seed, size)
    if coarse == size:
        return picture
    return picture.resize(coarse, Image.Resampling.BOX).resize(size, Image.Resampling.BILINEAR)


def _shard(
    seeds: range,
    size: Size,
    recipe: LatentRecipe,
    autoencoder: Autoencoder,
    tokenizer: CLIPTokenizer,
    bfloat16: bool,  # noqa: FBT001 - passed on, named where it is decided
) -> dict[str, torch.Tensor]:
    pixels = np.stack([np.asarray(training_picture(recipe.book, seed, size)) for seed in seeds])
    texts = [
        recipe.book.caption(seed, seed * recipe.captions + i)
        for seed in seeds
        for i in range(recipe.captions)
    ]
    tokens = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return {
        "moments": encoded_moments(pixels, autoencoder, bfloat16=bfloat16),
        "tokens": tokens.view(len(seeds), recipe.captions, -1),
        "original_sizes": torch.tensor([original_size(seed, size) for seed in seeds]),
    }


@torch.no_grad()
def encoded_moments(pixels: Pixels, autoencoder: Autoencoder, *, bfloat16: bool) -> torch.Tensor:
    """Return the means and log variances of pixels (pictures, h, w, 3), in half precision."""
    found = []
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        for start in range(0, len(pixels), 64):
            x = as_tensor(pixels[start : start + 64])
            found.append(autoencoder.encode(x).latent_dist.parameters.half())
    return torch.cat(found)
