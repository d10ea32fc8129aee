"""Draws with a pipeline, every picture from its own seed, and lays pictures out as a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from training.storybook.untyped import Pipeline

BATCH = 16


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    num_inference_steps: int = 20
    guidance_scale: float = 3.0
    size: int = 64


def sample(
    pipeline: Pipeline, prompts: Sequence[str], seed: int, how: Sampling
) -> list[Image.Image]:
    """Return one picture for each prompt; picture i is drawn with seed + i."""
    pictures: list[Image.Image] = []
    for start in range(0, len(prompts), BATCH):
        texts = list(prompts[start : start + BATCH])
        seeds = range(seed + start, seed + start + len(texts))
        pictures += pipeline(
            texts,
            generator=[torch.Generator().manual_seed(s) for s in seeds],
            num_inference_steps=how.num_inference_steps,
            guidance_scale=how.guidance_scale,
            height=how.size,
            width=how.size,
        ).images
    return pictures


def sheet(pictures: Sequence[Image.Image], columns: int, enlarged: int = 1) -> Image.Image:
    """Return the pictures side by side in rows, each pixel `enlarged` times as wide."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * width, rows * height), (255, 255, 255))
    for i, picture in enumerate(pictures):
        page.paste(picture, (i % columns * width, i // columns * height))
    return page.resize((page.width * enlarged, page.height * enlarged), Image.Resampling.NEAREST)
