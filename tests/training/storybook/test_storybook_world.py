"""The world is decided by its seeds, and training never meets what is held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.storybook.world.drawing import coat_mask, draw
from training.storybook.world.scenes import any_scene, training_scene, unseen_scene
from training.storybook.world.species import FIGURES
from training.storybook.world.vocabulary import (
    ACCESSORIES,
    COAT_COLOURS,
    COLOURS,
    HELD_OUT_COATS,
    HELD_OUT_HOMES,
    HELD_OUT_SPECIES,
    SETTINGS,
    SPECIES,
    STYLES,
    Scene,
)

CAT = Scene(species="cat", colour="red", setting="snow")


@pytest.mark.parametrize("style", STYLES)
def test_a_seed_draws_the_same_picture_again(style: str) -> None:
    scene = replace(CAT, style=style)
    assert draw(scene, 7).tobytes() == draw(scene, 7).tobytes()
    assert draw(scene, 7).tobytes() != draw(scene, 8).tobytes()


def test_a_seed_names_the_same_scene_again() -> None:
    assert [training_scene(i) for i in range(50)] == [training_scene(i) for i in range(50)]
    assert len({training_scene(i) for i in range(200)}) > 190


def test_training_never_meets_what_is_held_out() -> None:
    scenes = [training_scene(i) for i in range(5000)]
    assert not any(scene.held_out for scene in scenes)
    assert not {(s.species, s.colour) for s in scenes} & HELD_OUT_COATS
    assert not {(s.species, s.setting) for s in scenes} & HELD_OUT_HOMES
    assert not {s.species for s in scenes} & set(HELD_OUT_SPECIES)


def test_training_meets_every_word_that_evaluation_uses() -> None:
    scenes = [training_scene(i) for i in range(3000)]
    assert {s.species for s in scenes} == set(SPECIES)
    assert {s.colour for s in scenes} == set(COLOURS)
    assert {s.setting for s in scenes} == set(SETTINGS)
    assert {s.style for s in scenes} == set(STYLES)
    assert {s.accessory for s in scenes} == set(ACCESSORIES)


def test_unseen_scenes_are_of_known_species_in_held_out_combinations() -> None:
    scenes = [unseen_scene(i) for i in range(300)]
    assert all(scene.held_out and scene.species in SPECIES for scene in scenes)


def test_any_scene_meets_held_out_combinations_but_no_held_out_species() -> None:
    scenes = [any_scene(i) for i in range(500)]
    assert {scene.species for scene in scenes} == set(SPECIES)
    assert any(scene.held_out for scene in scenes)


@pytest.mark.parametrize("species", FIGURES)
def test_every_species_wears_its_coat_in_every_size_of_picture(species: str) -> None:
    scene = replace(CAT, species=species, colour="purple")
    for width, height in ((64, 64), (112, 64), (64, 112)):
        picture = np.asarray(draw(scene, 3, width, height), dtype=np.float32)
        inside = np.asarray(coat_mask(scene, width, height)) > 250
        assert picture.shape == (height, width, 3)
        assert inside.sum() > 40
        found = np.median(picture[inside], axis=0)
        assert np.abs(found - np.array(COAT_COLOURS["purple"])).max() < 12


def test_places_and_sizes_show_in_the_mask() -> None:
    def columns(scene: Scene) -> float:
        return float(np.nonzero(np.asarray(coat_mask(scene)).max(axis=0))[0].mean())

    def area(scene: Scene) -> int:
        return int((np.asarray(coat_mask(scene)) > 128).sum())

    left, right = replace(CAT, place="left"), replace(CAT, place="right")
    assert columns(left) < columns(CAT) < columns(right)
    assert area(replace(CAT, size="small")) < area(CAT) < area(replace(CAT, size="big"))
