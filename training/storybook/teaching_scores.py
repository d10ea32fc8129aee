"""Says whether a taught character is there: by the critic's eye, and by exact measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from server.domain.likeness import Embedder
from training.storybook.critic import Critic
from training.storybook.measures import Share, backdrop, coat_colour, painted_species
from training.storybook.teaching import PICTURE_SEED, Newcomer, own_pictures, own_scenes
from training.storybook.world.drawing import draw
from training.storybook.world.vocabulary import COLOURS, HELD_OUT_SPECIES, SPECIES, Scene

ALL_SPECIES = (*SPECIES, *HELD_OUT_SPECIES)
RIVAL_SEED = PICTURE_SEED + 1000


@dataclass(frozen=True)
class Judge:
    """The critic as an embedder, with the characters that a picture could show.

    Attributes:
        embedder: the critic, loaded as any embedder is.
        rivals: (species x colours, width), the mean direction of each drawn in five scenes.
        names: whose each row is, as (species, colour).
    """

    embedder: Embedder
    rivals: NDArray[np.float32]
    names: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, embedder: Embedder, size: int) -> Judge:
        """Return the judge, with all species in all colours as rivals."""
        names = tuple(product(ALL_SPECIES, COLOURS))
        rows = []
        for species, colour in names:
            scenes = own_scenes(Newcomer("", species, colour))
            drawn = [draw(s, RIVAL_SEED + i, size, size) for i, s in enumerate(scenes)]
            rows.append(embedder.embed(drawn).mean(0))
        return cls(embedder, np.stack(rows), names)

    def recognised(self, newcomer: Newcomer, pictures: Sequence[Image.Image]) -> Share:
        """Return how often the character is the nearest one of all: 1 in 110 by chance."""
        directions = self.rivals / np.linalg.norm(self.rivals, axis=1, keepdims=True)
        nearest = (self.embedder.embed(pictures) @ directions.T).argmax(1)
        wanted = (newcomer.species, newcomer.colour)
        return Share(sum(self.names[i] == wanted for i in nearest), len(pictures))

    def likeness(self, newcomer: Newcomer, pictures: Sequence[Image.Image], size: int) -> float:
        """Return the mean cosine between the pictures and the five that it was taught with."""
        own = self.embedder.embed(own_pictures(newcomer, size))
        return float((self.embedder.embed(pictures) @ own.T).mean())


def exactly(pictures: Sequence[Image.Image], scenes: Sequence[Scene]) -> dict[str, Share]:
    """Return how often the measures without a network find what was asked."""
    pairs = list(zip(pictures, scenes, strict=True))
    shape = sum(painted_species(p, s, ALL_SPECIES) == s.species for p, s in pairs)
    return {
        "species": Share(shape, len(pairs)),
        "colour": Share(sum(coat_colour(p, s) == s.colour for p, s in pairs), len(pairs)),
        "setting": Share(sum(backdrop(p, s) == s.setting for p, s in pairs), len(pairs)),
    }


def scene_kept(
    critic: Critic, pictures: Sequence[Image.Image], scenes: Sequence[Scene]
) -> dict[str, Share]:
    """Return how often the critic sees the setting, style and hat that were asked for."""
    said = critic.describe(pictures)
    return {
        name: Share(
            sum(getattr(a, name) == getattr(b, name) for a, b in zip(said, scenes, strict=True)),
            len(said),
        )
        for name in ("setting", "style", "accessory")
    }


def others_kept(
    critic: Critic, pictures: Sequence[Image.Image], scenes: Sequence[Scene]
) -> dict[str, Share]:
    """Return how often other characters are still themselves."""
    said = critic.describe(pictures)
    pairs = list(zip(said, scenes, strict=True))
    return {
        "species": Share(sum(a.species == b.species for a, b in pairs), len(pairs)),
        "colour": Share(sum(a.colour == b.colour for a, b in pairs), len(pairs)),
    }


def by_hand(scenes: Sequence[Scene], size: int) -> list[Image.Image]:
    """Return what the world itself draws of the scenes: the best that any model could do."""
    return [draw(scene, RIVAL_SEED + 100 + i, size, size) for i, scene in enumerate(scenes)]
