"""The critic: a small network that says what a picture shows. It judges; it never teaches.

It learns from drawn pictures of all combinations, so that it has no habit of denying unseen ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import RegNetConfig, RegNetModel

from training.storybook.autoencoder import as_tensor
from training.storybook.loop import Average, Run, Schedule, Stateful, step_generator
from training.storybook.muon import muon_for
from training.storybook.pictures import Pixels
from training.storybook.world.drawing import draw
from training.storybook.world.scenes import any_scene
from training.storybook.world.vocabulary import (
    ACCESSORIES,
    COLOURS,
    HELD_OUT_SPECIES,
    PLACES,
    SETTINGS,
    SIZES,
    SPECIES,
    STYLES,
    Scene,
)

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "species": (*SPECIES, *HELD_OUT_SPECIES),
    "colour": COLOURS,
    "setting": SETTINGS,
    "style": STYLES,
    "accessory": ACCESSORIES,
    "place": PLACES,
    "size": SIZES,
}
HEADS_FILE = "heads.safetensors"
TEST_SEEDS = range(20_000_000, 20_001_000)


@dataclass(frozen=True)
class CriticRecipe:
    """All that decides what the critic becomes."""

    channels: tuple[int, ...] = (48, 96, 128, 160)
    schedule: Schedule = field(default_factory=lambda: Schedule(1200, 2e-3))
    pictures: int = 20_000
    batch_size: int = 64
    size: int = 64
    seed: int = 3


class Critic(torch.nn.Module):
    """A RegNet that embeds a picture, and one linear head for each attribute."""

    def __init__(self, backbone: RegNetModel) -> None:
        super().__init__()
        self.backbone = backbone
        width = backbone.config.hidden_sizes[-1]
        self.heads = torch.nn.ModuleDict(
            {name: torch.nn.Linear(width, len(values)) for name, values in ATTRIBUTES.items()}
        )

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return logits (batch, values) by attribute, from pixels (batch, 3, h, w) in -1..1."""
        embedded = self.backbone(pixels).pooler_output.flatten(1)
        return {name: head(embedded) for name, head in self.heads.items()}

    @torch.no_grad()
    def describe(self, pictures: Sequence[Image.Image]) -> list[Scene]:
        """Return what each picture most likely shows."""
        pixels = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
        logits = self(as_tensor(pixels))
        best = {name: values.argmax(1).tolist() for name, values in logits.items()}
        return [
            Scene(**{name: ATTRIBUTES[name][rows[i]] for name, rows in best.items()})
            for i in range(len(pictures))
        ]

    def save(self, folder: Path) -> None:
        """Write the backbone in the hub layout, and the heads beside it."""
        self.backbone.save_pretrained(folder)
        save_file(self.heads.state_dict(), folder / HEADS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Critic:
        """Return the critic that `save` wrote, ready to judge."""
        critic = cls(RegNetModel.from_pretrained(folder))
        critic.heads.load_state_dict(load_file(folder / HEADS_FILE))
        return critic.eval()


def build_critic(channels: tuple[int, ...]) -> Critic:
    """Return a fresh critic; each stage halves the picture's sides."""
    config = RegNetConfig(
        embedding_size=channels[0],
        hidden_sizes=list(channels),
        depths=[1] * len(channels),
        groups_width=max(channels) + 1,  # one group: plain convolutions
        layer_type="x",
        hidden_act="relu",
    )
    return Critic(RegNetModel(config))


def train_critic(recipe: CriticRecipe, folder: Path, *, bfloat16: bool) -> Critic:
    """Train, or go on training, in `folder`; return the averaged critic in eval mode."""
    torch.manual_seed(recipe.seed)
    critic = build_critic(recipe.channels)
    pictures = np.stack([_picture(seed, recipe.size) for seed in range(recipe.pictures)])
    answers = labels([any_scene(seed) for seed in range(recipe.pictures)])
    optimizer = muon_for([critic], recipe.schedule.learning_rate, 1e-2, {"heads", "embedder"})
    average = Average({"critic": critic}, 0.99)

    def take_step(step: int) -> dict[str, float]:
        generator = step_generator(recipe.seed, step)
        rows = torch.randint(0, len(pictures), (recipe.batch_size,), generator=generator)
        x = roughened(as_tensor(pictures[rows.numpy()]), generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = critic(x)
        loss = torch.stack(
            [
                torch.nn.functional.cross_entropy(logits[name].float(), answers[name][rows])
                for name in ATTRIBUTES
            ]
        ).sum()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        average.update(step)
        return {"loss": loss.item()}

    parts: dict[str, Stateful] = {"critic": critic, "optimizer": optimizer, "average": average}
    Run(folder, recipe.schedule).train(parts, optimizer, take_step)
    average.swap()
    return critic.eval()


def labels(scenes: Sequence[Scene]) -> Mapping[str, torch.Tensor]:
    """Return the scenes' values as numbers, (scenes,) by attribute."""
    return {
        name: torch.tensor([values.index(getattr(scene, name)) for scene in scenes])
        for name, values in ATTRIBUTES.items()
    }


def roughened(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return pictures with noise, a third of them blurred: a model's are less crisp than ours."""
    blurred = torch.rand(len(x), generator=generator) < 1 / 3
    soft = torch.nn.functional.avg_pool2d(x[blurred], 3, 1, 1, count_include_pad=False)
    x = x.clone()
    x[blurred] = soft
    strength = 0.15 * torch.rand(len(x), 1, 1, 1, generator=generator)
    return x + strength * torch.randn(x.shape, generator=generator)


def critic_accuracy(critic: Critic, seeds: range, size: int) -> dict[str, float]:
    """Return the share of right answers by attribute on drawn pictures of these seeds."""
    scenes = [any_scene(seed) for seed in seeds]
    said = critic.describe(
        [draw(scene, s, size, size) for s, scene in zip(seeds, scenes, strict=True)]
    )
    return {
        name: sum(getattr(a, name) == getattr(b, name) for a, b in zip(said, scenes, strict=True))
        / len(scenes)
        for name in ATTRIBUTES
    }


def _picture(seed: int, size: int) -> Pixels:
    return np.asarray(draw(any_scene(seed), seed, size, size))
