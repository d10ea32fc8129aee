"""The exact measures see on drawn pages what their labels say, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from training.storybook.wide.drawing import draw_page
from training.storybook.wide.measures import (
    both_right,
    can_be_measured,
    coat_region,
    seen_colour,
    seen_species,
)
from training.storybook.wide.vocabulary import STYLES, Actor, Page

FOX, PIG = Actor("fox", "red"), Actor("pig", "blue")
PAGE = Page((FOX, PIG), "meadow")
SIZE = (128, 128)


@pytest.mark.parametrize("style", STYLES)
def test_coats_are_seen_in_every_style(style: str) -> None:
    page = replace(PAGE, style=style)
    picture = draw_page(page, 11)
    assert [seen_colour(picture, page, i) for i in (0, 1)] == ["red", "blue"]


@pytest.mark.parametrize("relation", ["left of", "behind", "on top of"])
def test_characters_are_known_wherever_they_stand(relation: str) -> None:
    page = replace(PAGE, relation=relation)
    picture = draw_page(page, 5)
    few = ("fox", "pig", "cat", "turtle")
    assert [seen_species(picture, page, i, few) for i in (0, 1)] == ["fox", "pig"]


def test_a_picture_of_others_is_not_right() -> None:
    drawn = draw_page(PAGE, 5)
    assert both_right(drawn, PAGE)
    assert not both_right(drawn, replace(PAGE, actors=(FOX, replace(PIG, colour="green"))))
    assert not both_right(drawn, replace(PAGE, actors=(FOX, replace(PIG, species="mouse"))))


def test_regions_of_two_characters_do_not_meet_and_a_nearer_one_covers() -> None:
    behind = replace(PAGE, relation="behind")
    first, second = (coat_region(behind, i, SIZE) for i in (0, 1))
    assert not (first & second).any()
    alone = coat_region(replace(PAGE, relation="left of"), 0, SIZE)
    assert first.sum() < alone.sum()


def test_a_hidden_coat_has_no_colour() -> None:
    empty = Image.new("RGB", SIZE)
    covered = replace(PAGE, actors=(replace(FOX, species="mushroom"), PIG))
    assert coat_region(covered, 0, SIZE).sum() > 0
    turtle = Page((Actor("turtle", "red"),), "meadow", framing="far", size="small")
    assert coat_region(turtle, 0, (32, 32)).sum() < 24
    assert seen_colour(empty.resize((32, 32)), turtle, 0) is None


def test_only_clear_days_are_measured() -> None:
    assert can_be_measured(PAGE)
    assert not can_be_measured(replace(PAGE, time="night"))
    assert not can_be_measured(replace(PAGE, weather="fog"))
    assert np.asarray(coat_region(PAGE, 0, (176, 96))).shape == (96, 176)
