"""What tests of Flux pictures against diffusers' own ask for, begin and compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from server.domain.images import ResolvedRequest
from server.engine.families.base import Pictures, Trajectory
from server.engine.families.flux import FluxFamily
from tests.engine import drawing
from tests.engine.drawing import finish
from tests.engine.flux_reference import NO_PICTURES

TOLERANCE = 1e-4


def request(**values: object) -> ResolvedRequest:
    return drawing.request(**{"max_sequence_length": 32, **values})


def begin(family: FluxFamily, asked: ResolvedRequest, given: Pictures = NO_PICTURES) -> Trajectory:
    return drawing.begin(family, asked, given.image, mask=given.mask, references=given.references)


def ours(family: FluxFamily, asked: ResolvedRequest, given: Pictures = NO_PICTURES) -> torch.Tensor:
    row = begin(family, asked, given)
    finish(family, [row])
    return row.latents


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape
    return (one - other).abs().max().item()


def opened(kind: type[DiffusionPipeline], folder: Path) -> DiffusionPipeline:
    return kind.from_pretrained(folder, dtype=torch.float32)


def noise(width: int, height: int, seed: int = 5) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def left_half(width: int, height: int) -> Image.Image:
    mask = Image.new("L", (width, height))
    mask.paste(255, (0, 0, width // 2, height))
    mask.paste(127, (width // 2, 0, width, height // 3))  # almost white is still kept
    return mask


SQUARE = Pictures(image=noise(64, 64))
MASKED = Pictures(image=noise(96, 64), mask=left_half(96, 64))
EDITED = Pictures(references=(noise(70, 50),))
