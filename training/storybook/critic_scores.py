"""How far the critic can be trusted, on pictures and characters that it never learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.storybook.critic import ATTRIBUTES, UNKNOWN, Critic
from training.storybook.measures import Share
from training.storybook.world.creatures import creature
from training.storybook.world.drawing import character_of, draw_character
from training.storybook.world.figures import Character
from training.storybook.world.scenes import any_scene
from training.storybook.world.vocabulary import COAT_COLOURS, COLOURS, HELD_OUT_SPECIES, Scene

TEST_SEEDS = range(20_000_000, 20_001_000)
UNSEEN_CREATURES = range(21_000_000, 21_000_060)
VIEWS = 8
Embed = Callable[[Sequence[Image.Image]], NDArray[np.float32]]


@dataclass(frozen=True)
class Cast:
    """Pictures of several characters, and whose each is."""

    pictures: tuple[Image.Image, ...]
    species: tuple[str, ...]
    coats: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Whose each picture is."""
        return tuple(" ".join(pair) for pair in zip(self.coats, self.species, strict=True))


@dataclass(frozen=True)
class Separation:
    """How surely two pictures of one character are nearer than two of different ones.

    Each is the share of pairs of pairs in the right order (the area under the ROC curve): 0.5 by
    chance, 1 at best.
    """

    all_pairs: float
    same_coat: float  # the different ones have the same colour
    same_species: float  # the different ones have the same shape


def accuracy(critic: Critic, seeds: range = TEST_SEEDS, size: int = 64) -> dict[str, Share]:
    """Return how often the critic is right, by attribute, on drawn pictures of base species."""
    scenes = [any_scene(seed) for seed in seeds]
    said = critic.describe(
        [
            draw_character(character_of(s), s, i, size, size)
            for i, s in zip(seeds, scenes, strict=True)
        ]
    )
    return {
        name: Share(
            sum(getattr(a, name) == getattr(b, name) for a, b in zip(said, scenes, strict=True)),
            len(scenes),
        )
        for name in ATTRIBUTES
    }


def recognised_as_unknown(critic: Critic, cast: Cast) -> Share:
    """Return how often the critic sees that a character is none of the base species."""
    said = critic.describe(cast.pictures)
    return Share(sum(scene.species == UNKNOWN for scene in said), len(said))


def held_out_cast(size: int = 64, views: int = VIEWS) -> Cast:
    """Return the held-out species in every colour: characters that no training ever meets."""
    named = [
        Scene(species=species, colour=colour, setting="snow")
        for species, colour in product(HELD_OUT_SPECIES, COLOURS)
    ]
    return _cast([(character_of(s), s.species, s.colour) for s in named], size, views)


def unseen_creatures(size: int = 64, views: int = VIEWS) -> Cast:
    """Return random characters whose seeds no training uses."""
    names = {colour: name for name, colour in COAT_COLOURS.items()}
    drawn = [(seed, creature(seed)) for seed in UNSEEN_CREATURES]
    return _cast([(c, f"creature {seed}", names[c.coat]) for seed, c in drawn], size, views)


def separation(embed: Embed, cast: Cast) -> Separation:
    """Return how well an embedder tells the cast's characters apart."""
    vectors = embed(cast.pictures)
    likeness = vectors @ vectors.T
    names, species, coats = (np.array(x) for x in (cast.names, cast.species, cast.coats))
    once = np.triu(np.ones_like(likeness, dtype=bool), 1)
    same = once & _equal(names)
    other = once & ~_equal(names)
    return Separation(
        area_under_curve(likeness[same], likeness[other]),
        area_under_curve(likeness[same], likeness[other & _equal(coats)]),
        area_under_curve(likeness[same], likeness[other & _equal(species)]),
    )


def area_under_curve(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float:
    """Return the chance that a positive is larger than a negative; nan where one has none."""
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left")
    not_above = np.searchsorted(ordered, positive, "right")
    return float((below + not_above).mean() / (2 * len(negative)))


def _equal(values: NDArray[np.str_]) -> NDArray[np.bool_]:
    return np.asarray(values[:, None] == values[None, :])


def _cast(characters: Sequence[tuple[Character, str, str]], size: int, views: int) -> Cast:
    pictures, species, coats = [], [], []
    for i, (character, kind, coat) in enumerate(characters):
        for view in range(views):
            seed = TEST_SEEDS.stop + i * views + view
            scene = replace(any_scene(seed), colour=coat)
            pictures.append(draw_character(character, scene, seed, size, size))
            species.append(kind)
            coats.append(coat)
    return Cast(tuple(pictures), tuple(species), tuple(coats))
