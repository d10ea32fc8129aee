"""The wider world can be trained on: the recipe, shortened, in two shapes of picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.storybook.books import WideBook
from training.storybook.denoiser import DenoiserRecipe
from training.storybook.export import weight_files
from training.storybook.latents import LatentRecipe
from training.storybook.loop import Schedule
from training.storybook.models import (
    AutoencoderShape,
    DenoiserShape,
    build_autoencoder,
    build_denoiser,
)
from training.storybook.tokenizers import build_tokenizer
from training.storybook.wide.recipe import storybook_wide
from training.storybook.workshop import Workshop, open_model

# diffusers 0.42 hands a tensor to numpy in a way that numpy 2 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHORT = Schedule(4, 2e-3, warmup=1, checkpoint_every=2, log_every=2)
WHOLE = storybook_wide()
RECIPE = replace(
    WHOLE,
    autoencoder=replace(
        WHOLE.autoencoder,
        shape=AutoencoderShape((8, 8, 16), 4, 4),
        schedule=SHORT,
        batch_size=4,
        size=32,
        world_pictures=16,
        scribbled_pictures=4,
    ),
    latents=LatentRecipe(WideBook(), pictures=12, captions=2, sizes=((32, 32), (48, 32))),
    denoiser=DenoiserRecipe(
        DenoiserShape((16, 16, 32), (1, 1, 2), 8, (16, 32), 2, 8), SHORT, batch_size=4, size=32
    ),
)
MOST_BYTES = 15_000_000  # of a model beside the critic, its adapters and a Flux model to come


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wide")
    torch.set_num_threads(1)
    Workshop(folder, RECIPE, bfloat16=False).pipeline()
    return folder / "storybook-xl"


def test_the_model_loads_with_plain_diffusers_and_draws_in_every_shape(trained: Path) -> None:
    pipeline = open_model(trained)
    for width, height in RECIPE.latents.sizes:
        drawn = pipeline(
            "a red fox to the left of a blue pig on a farm at night, pencil drawing",
            num_inference_steps=2,
            width=width,
            height=height,
            output_type="np",
        ).images[0]
        assert drawn.shape == (height, width, 3)
        assert np.isfinite(drawn).all()


def test_long_captions_fit(trained: Path) -> None:
    pipeline = open_model(trained)
    assert pipeline.tokenizer.model_max_length == WideBook().max_tokens
    assert pipeline.text_encoder.config.max_position_embeddings == WideBook().max_tokens
    longest = build_tokenizer(WideBook(), captions=3000)
    captions = [WideBook().caption(seed, seed) for seed in range(3000, 4500)]
    assert max(len(longest(text).input_ids) for text in captions) <= WideBook().max_tokens


def test_every_shape_has_pictures_of_its_own(trained: Path) -> None:
    shards = sorted((trained.parent / "latents").iterdir())
    assert [path.stem for path in shards] == ["0000000", "0000012"]
    shapes = [torch.load(path, weights_only=True)["moments"].shape[-2:] for path in shards]
    assert [tuple(shape) for shape in shapes] == [(8, 8), (8, 12)]
    assert weight_files(trained)


def test_the_whole_model_stays_within_its_size() -> None:
    denoiser = build_denoiser(WHOLE.denoiser.shape, build_tokenizer(WideBook(), 500), 128)
    modules = [*denoiser.modules.values(), build_autoencoder(WHOLE.autoencoder.shape)]
    parameters = sum(p.numel() for module in modules for p in module.parameters())
    assert 2 * parameters <= MOST_BYTES
