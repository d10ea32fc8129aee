"""Draws scenes from chance: training scenes, and scenes that training never sees."""

from __future__ import annotations

import random

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

STYLE_WEIGHTS = (0.5, 0.25, 0.25)
ACCESSORY_WEIGHTS = (0.64, 0.12, 0.12, 0.12)
PLACE_WEIGHTS = (0.6, 0.2, 0.2)
SIZE_WEIGHTS = (0.6, 0.2, 0.2)


def training_scene(seed: int) -> Scene:
    """Return a scene that base training may see; the same for the same seed."""
    return _wanted(f"training {seed}", held_out=False)


def unseen_scene(seed: int) -> Scene:
    """Return a scene of a base species whose combination base training never sees."""
    return _wanted(f"unseen {seed}", held_out=True)


def any_scene(seed: int) -> Scene:
    """Return a scene of a base species in any combination: what the critic learns to judge."""
    generator = random.Random(f"any {seed}")  # noqa: S311 - drawings, not secrets
    return _any_scene(generator, SPECIES)


def _wanted(source: str, *, held_out: bool) -> Scene:
    generator = random.Random(source)  # noqa: S311 - drawings, not secrets
    scene = _any_scene(generator, SPECIES)
    while scene.held_out != held_out:
        scene = _any_scene(generator, SPECIES)
    return scene


def _any_scene(generator: random.Random, species: tuple[str, ...]) -> Scene:
    return Scene(
        species=generator.choice(species),
        colour=generator.choice(COLOURS),
        setting=generator.choice(SETTINGS),
        style=generator.choices(STYLES, STYLE_WEIGHTS)[0],
        accessory=generator.choices(ACCESSORIES, ACCESSORY_WEIGHTS)[0],
        place=generator.choices(PLACES, PLACE_WEIGHTS)[0],
        size=generator.choices(SIZES, SIZE_WEIGHTS)[0],
    )
