"""The model that ships with the project is whole, small enough, and draws what it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.storybook.export import CHECKSUMS, digest, weight_bytes, weight_files
from training.storybook.measures import backdrop, coat_colour, painted_species
from training.storybook.sampling import Sampling, sample
from training.storybook.untyped import diffusers
from training.storybook.world.vocabulary import Scene

# diffusers 0.42 hands a tensor to numpy in a way that numpy 2 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHIPPED = Path(__file__).parents[3] / "server" / "assets" / "storybook-xl"
WEIGHT_BUDGET = 14_000_000


def test_the_shipped_weights_are_those_of_the_model_card() -> None:
    stated = (SHIPPED / CHECKSUMS).read_text().splitlines()
    files = weight_files(SHIPPED)
    assert stated == [f"{digest(path)}  {path.relative_to(SHIPPED)}" for path in files]
    assert weight_bytes(SHIPPED) <= WEIGHT_BUDGET
    assert "demonstration model" in (SHIPPED / "README.md").read_text()


def test_the_shipped_model_draws_unseen_combinations() -> None:
    torch.set_num_threads(1)
    pipeline = diffusers().StableDiffusionXLPipeline.from_pretrained(SHIPPED)
    pipeline.set_progress_bar_config(disable=True)
    scenes = [
        Scene(species="cat", colour="blue", setting="snow"),
        Scene(species="frog", colour="red", setting="meadow"),
        Scene(species="bear", colour="teal", setting="beach"),
    ]
    prompts = [
        f"a {s.colour} {s.species} {where}"
        for s, where in zip(scenes, ("in the snow", "in a meadow", "on the beach"), strict=True)
    ]
    how = Sampling(num_inference_steps=12, guidance_scale=3.0)
    for picture, scene in zip(sample(pipeline, prompts, 1, how), scenes, strict=True):
        assert painted_species(picture, scene) == scene.species
        assert coat_colour(picture, scene) == scene.colour
        assert backdrop(picture, scene) == scene.setting
