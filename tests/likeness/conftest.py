"""Small vision models of transformers' own classes, saved as their hub folders are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    SiglipConfig,
    SiglipModel,
)

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 56,
    "patch_size": 14,
}
WORDS = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 64,
}
FLIPS = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM)
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
DINO = {
    "image_processor_type": "BitImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 64},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 56, "width": 56},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    **IMAGENET,
}
CLIP = {
    **DINO,
    "image_processor_type": "CLIPImageProcessor",
    "size": 56,
    "crop_size": 56,
}
SIGLIP = {
    "image_processor_type": "SiglipImageProcessor",
    "do_resize": True,
    "size": {"height": 56, "width": 56},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def _made(kind: str) -> tuple[Any, dict[str, Any]]:
    torch.manual_seed(7)
    match kind:
        case "dinov2":
            return Dinov2Model(Dinov2Config(**SMALL)), DINO
        case "clip":
            config = CLIPConfig(text_config=WORDS, vision_config=SMALL, projection_dim=24)
            return CLIPModel(config), CLIP
        case "clip vision":
            return CLIPVisionModel(CLIPVisionConfig(**SMALL)), CLIP
        case _:
            return SiglipModel(SiglipConfig(text_config=WORDS, vision_config=SMALL)), SIGLIP


@pytest.fixture(scope="session", params=["dinov2", "clip", "clip vision", "siglip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the kinds of model that people use to compare pictures."""
    model, processing = _made(request.param)
    folder = tmp_path_factory.mktemp(str(request.param).replace(" ", "-"))
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processing))
    return folder


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Pictures of several shapes, one of them with transparency."""
    made = []
    for i, (width, height) in enumerate([(90, 70), (64, 64), (61, 133)]):
        picture = Image.effect_mandelbrot((width, height), (-2.0, -1.5, 1.0, 1.5), 20 + 30 * i)
        made.append(
            Image.merge("RGB", (picture, picture.transpose(FLIPS[1]), picture.transpose(FLIPS[0])))
        )
    made.append(made[0].convert("RGBA"))
    return made
