"""The critic that ships with the project is whole, small, and right about what it never met."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from server.likeness.embedder import STORYBOOK_CRITIC, FolderEmbedder, load_embedder
from training.storybook.critic import Critic
from training.storybook.critic_scores import (
    accuracy,
    held_out_cast,
    recognised_as_unknown,
    separation,
)
from training.storybook.export import CHECKSUMS, digest, weight_bytes, weight_files

ALL_WEIGHTS = 24_000_000  # of everything that ships
CRITIC_WEIGHTS = 2_000_000


@pytest.fixture(scope="module")
def critic() -> Critic:
    torch.set_num_threads(1)
    return Critic.load(STORYBOOK_CRITIC)


@pytest.fixture(scope="module")
def embedder() -> FolderEmbedder:
    return load_embedder(STORYBOOK_CRITIC)


def test_the_weights_are_those_of_the_model_card() -> None:
    stated = (STORYBOOK_CRITIC / CHECKSUMS).read_text().splitlines()
    files = weight_files(STORYBOOK_CRITIC)
    assert stated == [f"{digest(path)}  {path.relative_to(STORYBOOK_CRITIC)}" for path in files]
    assert weight_bytes(STORYBOOK_CRITIC) <= CRITIC_WEIGHTS
    assert weight_bytes(STORYBOOK_CRITIC.parent) <= ALL_WEIGHTS


def test_it_is_right_about_drawn_pictures(critic: Critic) -> None:
    found = accuracy(critic, range(23_000_000, 23_000_100))
    assert min(share.value for share in found.values()) >= 0.97


def test_it_tells_characters_apart_that_it_never_learned_from(
    critic: Critic, embedder: FolderEmbedder
) -> None:
    cast = held_out_cast(views=3)
    found = separation(embedder.embed, cast)
    assert found.all_pairs > 0.99
    assert found.same_coat > 0.96
    assert found.same_species > 0.99
    assert recognised_as_unknown(critic, cast).value > 0.8


def test_the_server_embeds_as_the_recipe_does(critic: Critic, embedder: FolderEmbedder) -> None:
    pictures = held_out_cast(views=1).pictures
    assert np.abs(embedder.embed(pictures) - critic.embed(pictures).numpy()).max() < 1e-4


def test_nothing_of_the_critic_says_where_it_was_made() -> None:
    for path in STORYBOOK_CRITIC.glob("*.json"):
        assert str(Path.home()) not in path.read_text()
        assert "/var/" not in path.read_text()
