"""The critic learns from characters, not from pictures, and never from those it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.storybook.critic import ATTRIBUTES, UNKNOWN, CriticShape, build_critic
from training.storybook.critic_lessons import LessonPlan, prepare_lessons
from training.storybook.critic_scores import (
    TEST_SEEDS,
    UNSEEN_CREATURES,
    Cast,
    area_under_curve,
    held_out_cast,
    separation,
)
from training.storybook.critic_training import identity_loss
from training.storybook.loop import step_generator
from training.storybook.world.creatures import MARKS, creature, marked
from training.storybook.world.drawing import character_of, draw_character
from training.storybook.world.figures import Role
from training.storybook.world.vocabulary import COLOURS, HELD_OUT_SPECIES, Scene

PLAN = LessonPlan(3, 1, 2, creatures=12, creature_pictures=3)
CAT = Scene(species="cat", colour="red", setting="snow")


def test_creatures_are_decided_by_their_seed_and_differ() -> None:
    assert creature(5) == creature(5)
    assert len({creature(i) for i in range(300)}) == 300
    drawn = {draw_character(creature(i), CAT, 1).tobytes() for i in range(40)}
    assert len(drawn) == 40


def test_marks_leave_the_coat_and_add_another_colour() -> None:
    plain = character_of(CAT)
    changed = [marked(plain, i) for i in range(30)]
    assert {character.coat for character in changed} == {plain.coat}
    own = [set(character.figure.parts) - set(plain.figure.parts) for character in changed]
    assert any(own)
    assert not all(own), "some are left unmarked"
    colours = {part.colour for parts in own for part in parts}
    assert plain.coat not in colours
    assert {part.role for parts in own for part in parts} == {Role.OWN}
    assert len(MARKS) > 2


def test_a_batch_holds_several_pictures_of_each_character_once(tmp_path: Path) -> None:
    lessons = prepare_lessons(PLAN, 32, tmp_path)
    rows, who = lessons.draw(20, 3, step_generator(1, 0))
    again, _ = lessons.draw(20, 3, step_generator(1, 0))
    assert torch.equal(rows, again)
    assert len(set(rows.tolist())) == len(rows)
    spans = torch.cat(lessons.groups)
    whose = [int(((spans[:, 0] <= row) & (row < spans[:, 1])).nonzero()) for row in rows]
    pairs = set(zip(whose, who.tolist(), strict=True))
    assert len(pairs) == len(set(whose)) == len(set(who.tolist())), "one number a character"
    assert who.bincount().min() >= 2


def test_lessons_have_no_held_out_species_and_are_drawn_once(tmp_path: Path) -> None:
    lessons = prepare_lessons(PLAN, 32, tmp_path)
    named = {ATTRIBUTES["species"][i] for i in lessons.labels["species"]}
    assert UNKNOWN in named
    assert not named & set(HELD_OUT_SPECIES)
    (kept,) = tmp_path.iterdir()
    written = kept.stat().st_mtime_ns
    assert np.array_equal(prepare_lessons(PLAN, 32, tmp_path).pictures, lessons.pictures)
    assert kept.stat().st_mtime_ns == written


def test_evaluation_seeds_are_no_lessons() -> None:
    full = LessonPlan()
    pages = 80 * (full.plain_pictures + full.marked_kinds * full.marked_pictures)
    pages += full.creatures * full.creature_pictures
    assert pages < TEST_SEEDS.start
    assert full.creatures < UNSEEN_CREATURES.start


def test_the_identity_loss_is_least_where_characters_are_apart() -> None:
    who = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    mixed = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    assert identity_loss(apart, who, 0.1) < 0.01 < 5 < identity_loss(mixed, who, 0.1)


def test_the_area_under_the_curve_counts_pairs_in_the_right_order() -> None:
    def area(positive: list[float], negative: list[float]) -> float:
        values = (np.array(each, np.float32) for each in (positive, negative))
        return area_under_curve(*values)

    assert area([3, 4], [1, 2]) == 1
    assert area([1, 2], [3, 4]) == 0
    assert area([1, 3], [2, 2]) == 0.5
    assert area([2], [2]) == 0.5


def test_separation_knows_who_shares_a_coat_and_who_a_shape() -> None:
    def by_colour(pictures: Sequence[Image.Image]) -> np.ndarray:
        means = np.stack([np.asarray(p, np.float32).mean((0, 1)) - 128 for p in pictures])
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))

    reds, blues = Image.new("RGB", (8, 8), (200, 10, 10)), Image.new("RGB", (8, 8), (10, 10, 200))
    cast = Cast((reds, reds, blues, blues), ("owl",) * 4, ("red", "red", "blue", "blue"))
    found = separation(by_colour, cast)
    assert (found.all_pairs, found.same_species) == (1.0, 1.0)
    assert np.isnan(found.same_coat), "there are no two characters of one colour"


def test_the_held_out_cast_has_every_character_in_several_scenes() -> None:
    cast = held_out_cast(32, views=3)
    assert len(cast.pictures) == len(HELD_OUT_SPECIES) * len(COLOURS) * 3
    assert set(cast.species) == set(HELD_OUT_SPECIES)
    assert len({picture.tobytes() for picture in cast.pictures}) == len(cast.pictures)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_fresh_critic_takes_any_size(size: int) -> None:
    critic = build_critic(CriticShape((8, 16, 16, 24))).eval()
    pictures = [
        draw_character(creature(i), replace(CAT, style="ink"), i, size, size) for i in (1, 2)
    ]
    embedded = critic.embed(pictures)
    assert embedded.shape == (2, 24)
    assert torch.allclose(embedded.norm(dim=1), torch.ones(2), atol=1e-5)
    assert [scene.setting in ATTRIBUTES["setting"] for scene in critic.describe(pictures)]
