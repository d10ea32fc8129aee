"""The wider world shows what its labels say, and keeps its secrets from base training."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from training.storybook.wide.drawing import BUCKETS, draw_page, stands
from training.storybook.wide.faces import closed_eyes, expression_parts, eyes_of
from training.storybook.wide.scenes import stranger_page, training_page, unseen_page
from training.storybook.wide.species import FIGURES
from training.storybook.wide.vocabulary import (
    CLOTHES,
    COLOURS,
    EXPRESSIONS,
    FRAMINGS,
    HATS,
    HELD_OUT_COATS,
    HELD_OUT_HOMES,
    HELD_OUT_MARKS,
    HELD_OUT_PAIRS,
    HELD_OUT_SPECIES,
    MARKS,
    OUTDOORS,
    POSES,
    PROPS,
    RELATIONS,
    SETTINGS,
    SPECIES,
    STYLES,
    TIMES,
    WEATHERS,
    Actor,
    Page,
)
from training.storybook.world.canvas import Canvas

FOX, PIG = Actor("fox", "red"), Actor("pig", "blue")
ALONE = Page((FOX,), "meadow")
TOGETHER = Page((FOX, PIG), "meadow")


def chance() -> random.Random:
    return random.Random(1)  # noqa: S311 - drawings, not secrets


def pixels(page: Page, seed: int = 3, bucket: str = "1:1") -> np.ndarray:
    return np.asarray(draw_page(page, seed, *BUCKETS[bucket]), dtype=np.int16)


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("style", STYLES)
def test_a_seed_draws_the_same_page_again_in_every_shape(style: str, bucket: str) -> None:
    page = replace(TOGETHER, style=style)
    width, height = BUCKETS[bucket]
    assert pixels(page, 3, bucket).shape == (height, width, 3)
    assert np.array_equal(pixels(page, 3, bucket), pixels(page, 3, bucket))
    assert not np.array_equal(pixels(page, 3, bucket), pixels(page, 4, bucket))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("setting", SETTINGS),
        ("time", TIMES),
        ("weather", WEATHERS),
        ("framing", FRAMINGS),
        ("style", STYLES),
    ],
)
def test_every_value_of_a_page_shows(name: str, values: tuple[str, ...]) -> None:
    changes: list[dict[str, Any]] = [{name: value} for value in values]
    drawn = [pixels(replace(ALONE, **change)) for change in changes]
    for i, one in enumerate(drawn):
        assert all(np.abs(one - other).mean() > 1 for other in drawn[:i]), values[i]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("species", (*SPECIES, *HELD_OUT_SPECIES)),
        ("colour", COLOURS),
        ("marks", (*MARKS, *HELD_OUT_MARKS)),
        ("clothes", CLOTHES),
        ("hat", HATS),
        ("prop", PROPS),
        ("pose", POSES),
        ("expression", EXPRESSIONS),
    ],
)
def test_every_value_of_a_character_shows(name: str, values: tuple[str, ...]) -> None:
    drawn = [
        pixels(replace(ALONE, actors=(replace(FOX, **{name: value}),), size="big"))
        for value in values
    ]
    for i, one in enumerate(drawn):
        assert all((np.abs(one - other).max(2) > 30).sum() > 8 for other in drawn[:i]), values[i]


def test_relations_are_where_they_say() -> None:
    canvas = Canvas.blank(128, 128)

    def first_and_second(
        relation: str,
    ) -> tuple[tuple[float, float], tuple[float, float], list[int]]:
        page = replace(TOGETHER, relation=relation)
        found = stands(page, canvas, chance())
        places = {stand.index: (stand.place.x, stand.place.y) for stand in found}
        return places[0], places[1], [stand.index for stand in found]

    for relation in RELATIONS:
        (x, y), (other_x, other_y), order = first_and_second(relation)
        match relation:
            case "left of":
                assert x < other_x - 20
            case "right of":
                assert x > other_x + 20
            case "behind":
                assert y < other_y - 5
                assert order == [0, 1]
            case "in front of":
                assert y > other_y + 5
                assert order == [1, 0]
            case "on top of":
                assert y < other_y - 15
                assert abs(x - other_x) < 6
                assert order == [1, 0]


def test_three_stand_side_by_side_in_their_order() -> None:
    page = replace(TOGETHER, actors=(FOX, PIG, Actor("bee", "yellow")), relation="on top of")
    found = stands(page, Canvas.blank(128, 128), chance())
    by_index = sorted(found, key=lambda stand: stand.index)
    xs = [stand.place.x for stand in by_index]
    assert xs == sorted(xs)
    assert max(stand.place.y for stand in found) - min(stand.place.y for stand in found) < 5


@pytest.mark.parametrize("species", FIGURES)
def test_a_figure_has_two_eyes_or_none(species: str) -> None:
    figure = FIGURES[species]()
    eyes = eyes_of(figure)
    assert len(eyes) in (0, 2)
    if eyes:
        left, right = eyes
        assert left.x < right.x
        assert figure.head_y - 0.2 < left.y < -0.2
        assert len(closed_eyes(figure)) == 4
        assert all(expression_parts(figure, name) for name in EXPRESSIONS if name != "plain")


def test_most_species_have_faces_that_can_change() -> None:
    faceless = {name for name, make in FIGURES.items() if not eyes_of(make())}
    assert faceless <= {"snail", "turtle", "mushroom", "crab"}


def test_training_never_meets_what_is_held_out() -> None:
    pages = [training_page(i) for i in range(3000)]
    actors = [(actor, page) for page in pages for actor in page.actors]
    assert not any(page.held_out for page in pages)
    assert not {actor.species for actor, _ in actors} & set(HELD_OUT_SPECIES)
    assert not {actor.marks for actor, _ in actors} & set(HELD_OUT_MARKS)
    assert not {(actor.species, actor.colour) for actor, _ in actors} & HELD_OUT_COATS
    assert not {(actor.species, page.setting) for actor, page in actors} & HELD_OUT_HOMES
    pairs = {frozenset((a.species, b.species)) for p in pages for a in p.actors for b in p.actors}
    assert not pairs & HELD_OUT_PAIRS


def test_training_meets_every_word() -> None:
    pages = [training_page(i) for i in range(3000)]
    actors = [actor for page in pages for actor in page.actors]
    of_pages: dict[str, tuple[str, ...]] = {
        "setting": SETTINGS,
        "style": STYLES,
        "framing": FRAMINGS,
    }
    for name, values in of_pages.items():
        assert {getattr(page, name) for page in pages} == set(values)
    assert {page.relation for page in pages if len(page.actors) == 2} == set(RELATIONS)
    of_actors: dict[str, tuple[str, ...]] = {
        "species": SPECIES,
        "colour": COLOURS,
        "marks": MARKS,
        "clothes": CLOTHES,
        "hat": HATS,
        "prop": PROPS,
        "pose": POSES,
        "expression": EXPRESSIONS,
    }
    for name, values in of_actors.items():
        assert {getattr(actor, name) for actor in actors} == set(values)


def test_indoors_there_is_no_weather_and_no_hour() -> None:
    pages = [training_page(i) for i in range(1000)]
    inside = [page for page in pages if page.setting not in OUTDOORS]
    assert {(page.time, page.weather) for page in inside} == {("day", "clear")}
    assert {page.weather for page in pages} == set(WEATHERS)


def test_unseen_pages_are_held_out_and_of_known_species() -> None:
    pages = [unseen_page(i) for i in range(200)]
    assert all(page.held_out for page in pages)
    assert {actor.species for page in pages for actor in page.actors} <= set(SPECIES)
    assert {stranger_page(i).actors[0].species for i in range(100)} == set(HELD_OUT_SPECIES)
