"""Pictures encoded once, with captions as tokens: the denoiser trains on these, not on pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPTokenizer

from training.storybook.autoencoder import as_tensor
from training.storybook.loop import save_atomically
from training.storybook.pictures import Pixels
from training.storybook.untyped import Autoencoder
from training.storybook.world.captions import caption
from training.storybook.world.drawing import draw
from training.storybook.world.scenes import training_scene

COARSE_SIZES = (24, 32, 40, 48)
COARSE_EVERY = 16  # one picture of so many is coarse, so that SDXL's original size means something
SHARD = 2048


@dataclass(frozen=True)
class LatentRecipe:
    """Which pictures are encoded."""

    pictures: int = 20_480
    captions: int = 4  # phrasings of each
    size: int = 64


@dataclass(frozen=True)
class Latents:
    """What the denoiser is trained on.

    Attributes:
        moments: means and log variances, (pictures, 2 * channels, h, w), float16.
        tokens: caption tokens, (pictures, captions, length).
        original_sizes: pixels of each picture before it was enlarged to the training size.
    """

    moments: torch.Tensor
    tokens: torch.Tensor
    original_sizes: torch.Tensor

    def __len__(self) -> int:
        return len(self.moments)


def encode_pictures(
    recipe: LatentRecipe,
    autoencoder: Autoencoder,
    tokenizer: CLIPTokenizer,
    folder: Path,
    *,
    bfloat16: bool,
) -> Latents:
    """Encode the training scenes shard by shard; shards that are already in `folder` are kept."""
    shards = []
    for start in range(0, recipe.pictures, SHARD):
        path = folder / f"{start:07}.pt"
        if not path.exists():
            seeds = range(start, min(start + SHARD, recipe.pictures))
            save_atomically(_shard(seeds, recipe, autoencoder, tokenizer, bfloat16), path)
        shards.append(torch.load(path, weights_only=True))
    columns = (torch.cat([shard[name] for shard in shards]) for name in shards[0])
    return Latents(*columns)


def original_size(seed: int, size: int) -> int:
    """Return how many pixels wide training picture `seed` is before it is enlarged to `size`."""
    if seed % COARSE_EVERY:
        return size
    return COARSE_SIZES[seed // COARSE_EVERY % len(COARSE_SIZES)] * size // 64


def training_picture(seed: int, size: int) -> Image.Image:
    """Return training picture `seed`, blurred by enlarging where its original size is smaller."""
    picture = draw(training_scene(seed), seed, size, size)
    coarse = original_size(seed, size)
    if coarse == size:
        return picture
    small = picture.resize((coarse, coarse), Image.Resampling.BOX)
    return small.resize((size, size), Image.Resampling.BILINEAR)


def _shard(
    seeds: range,
    recipe: LatentRecipe,
    autoencoder: Autoencoder,
    tokenizer: CLIPTokenizer,
    bfloat16: bool,  # noqa: FBT001 - passed on, named where it is decided
) -> dict[str, torch.Tensor]:
    pixels = np.stack([np.asarray(training_picture(seed, recipe.size)) for seed in seeds])
    texts = [
        caption(training_scene(seed), seed * recipe.captions + i)
        for seed in seeds
        for i in range(recipe.captions)
    ]
    tokens = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return {
        "moments": encoded_moments(pixels, autoencoder, bfloat16=bfloat16),
        "tokens": tokens.view(len(seeds), recipe.captions, -1),
        "original_sizes": torch.tensor([original_size(seed, recipe.size) for seed in seeds]),
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
