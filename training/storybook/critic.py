"""The critic: a small network that says what a picture shows, and whether two show the same one.

It judges; it never teaches. Its backbone is a plain RegNet of transformers whose pooled output is
the identity of the character: species, colour and marks, wherever and however it is drawn. Heads
beside it name what the base species look like, and what else the scene holds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import RegNetConfig, RegNetModel

from training.storybook.autoencoder import as_tensor
from training.storybook.world.vocabulary import (
    ACCESSORIES,
    COLOURS,
    PLACES,
    SETTINGS,
    SIZES,
    SPECIES,
    STYLES,
    Scene,
)

UNKNOWN = "other"  # any character that is none of the base species
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "species": (*SPECIES, UNKNOWN),
    "colour": COLOURS,
    "setting": SETTINGS,
    "style": STYLES,
    "accessory": ACCESSORIES,
    "place": PLACES,
    "size": SIZES,
}
OF_THE_CHARACTER = ("species", "colour")  # told from the embedding; the rest from where things are
HEADS_FILE = "heads.safetensors"
PROCESSOR_FILE = "preprocessor_config.json"
MAP = 4  # cells on a side of the map that the scene's heads read


@dataclass(frozen=True)
class CriticShape:
    """Channels and layers of each stage; each stage halves the picture's sides."""

    channels: tuple[int, ...] = (48, 80, 128, 192)
    depths: tuple[int, ...] = (1, 1, 1, 1)


@dataclass(frozen=True)
class Opinion:
    """What the critic makes of a batch of pictures."""

    identity: torch.Tensor  # (batch, width), each of length 1
    logits: dict[str, torch.Tensor]  # (batch, values) by attribute


class Critic(torch.nn.Module):
    """A RegNet that embeds the character of a picture, and one linear head for each attribute."""

    def __init__(self, backbone: RegNetModel) -> None:
        super().__init__()
        self.backbone = backbone
        *_, before, last = backbone.config.hidden_sizes
        self.heads = torch.nn.ModuleDict(
            {
                name: torch.nn.Linear(
                    last if name in OF_THE_CHARACTER else before * MAP * MAP, len(values)
                )
                for name, values in ATTRIBUTES.items()
            }
        )

    def forward(self, pixels: torch.Tensor) -> Opinion:
        """Return the opinion on pixels (batch, 3, h, w) in -1..1."""
        seen = self.backbone(pixels, output_hidden_states=True)
        pooled = seen.pooler_output.flatten(1)
        cells = torch.nn.functional.adaptive_avg_pool2d(seen.hidden_states[-2], MAP).flatten(1)
        logits = {
            name: head(pooled if name in OF_THE_CHARACTER else cells)
            for name, head in self.heads.items()
        }
        return Opinion(torch.nn.functional.normalize(pooled.float(), dim=1), logits)

    @torch.no_grad()
    def describe(self, pictures: Sequence[Image.Image]) -> list[Scene]:
        """Return what each picture most likely shows."""
        logits = self(_pixels(pictures)).logits
        best = {name: values.argmax(1).tolist() for name, values in logits.items()}
        return [
            Scene(**{name: ATTRIBUTES[name][rows[i]] for name, rows in best.items()})
            for i in range(len(pictures))
        ]

    @torch.no_grad()
    def embed(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Return who each picture shows, (pictures, width), each of length 1."""
        identity: torch.Tensor = self(_pixels(pictures)).identity
        return identity

    def save(self, folder: Path, size: int) -> None:
        """Write the backbone in the hub layout, half precision, and the heads beside it."""
        self.backbone.half().save_pretrained(folder)
        save_file(
            {name: value.half().contiguous() for name, value in self.heads.state_dict().items()},
            folder / HEADS_FILE,
        )
        self.backbone.float()
        (folder / PROCESSOR_FILE).write_text(json.dumps(_processing(size), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Critic:
        """Return the critic that `save` wrote, ready to judge."""
        critic = cls(RegNetModel.from_pretrained(folder, dtype=torch.float32))
        critic.heads.load_state_dict(load_file(folder / HEADS_FILE))
        return critic.float().eval()


def build_critic(shape: CriticShape) -> Critic:
    """Return a fresh critic."""
    config = RegNetConfig(
        embedding_size=shape.channels[0],
        hidden_sizes=list(shape.channels),
        depths=list(shape.depths),
        groups_width=max(shape.channels) + 1,  # one group: plain convolutions
        layer_type="x",
        hidden_act="relu",
    )
    return Critic(RegNetModel(config))


def _pixels(pictures: Sequence[Image.Image]) -> torch.Tensor:
    return as_tensor(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]))


def _processing(size: int) -> dict[str, object]:
    """Return how transformers and the server make the critic's pixels from any picture."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
