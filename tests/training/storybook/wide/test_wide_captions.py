"""Captions of the wider world say what is there and nothing else, in prose and in tags."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import Any

import pytest

from training.storybook.wide.captions import (
    SETTING_PHRASES,
    SPECIES_WORDS,
    page_caption,
    page_sentence,
    page_tags,
)
from training.storybook.wide.scenes import training_page
from training.storybook.wide.vocabulary import COLOURS, SETTINGS, SPECIES, Actor, Page

FOX = Actor("fox", "red")
PAGE = Page((FOX,), "farm")


def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - words, not secrets


def said(page: Page) -> set[str]:
    return {page_caption(page, seed) for seed in range(60)}


def test_a_page_has_many_captions_and_a_seed_has_one() -> None:
    assert len(said(PAGE)) > 5
    assert page_caption(PAGE, 1) == page_caption(PAGE, 1)


@pytest.mark.parametrize("seed", range(60))
def test_every_character_and_the_setting_are_named(seed: int) -> None:
    page = training_page(seed)
    for text in (page_sentence(page, chance(seed)), page_tags(page, chance(seed))):
        words = set(re.findall(r"[a-z0-9-]+", text))
        for actor in page.actors:
            assert actor.colour in words
            assert words & set(SPECIES_WORDS.get(actor.species, (actor.species,)))
    sentence = page_sentence(page, chance(seed))
    assert any(phrase in sentence for phrase in SETTING_PHRASES[page.setting])


def test_nothing_is_said_that_is_not_there() -> None:
    for text in said(PAGE):
        words = set(re.findall(r"[a-z]+", text))
        assert not words & (set(SPECIES) - {"fox"})
        assert not words & (set(COLOURS) - {"red"})
        assert not words & {"wearing", "holding", "night", "rain", "left", "small", "happy"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"marks": "spots", "marks_colour": "white"}, "white"),
        ({"marks": "patch", "marks_colour": "orange"}, "orange patch"),
        ({"clothes": "scarf", "clothes_colour": "blue"}, "blue scarf"),
        ({"clothes": "boots", "clothes_colour": "green"}, "green boots"),
        ({"hat": "party hat"}, "party hat"),
        ({"prop": "umbrella"}, "umbrella"),
        ({"pose": "jumping"}, "jumping"),
    ],
)
def test_what_a_character_has_is_always_said(change: dict[str, str], words: str) -> None:
    page = replace(PAGE, actors=(replace(FOX, **change),))
    assert all(words in text for text in said(page))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"style": "pixel"}, ("pixel art", "8-bit")),
        ({"time": "night"}, ("night", "dark")),
        ({"weather": "fog"}, ("fog",)),
        ({"framing": "close-up"}, ("close-up", "portrait")),
        ({"place": "left"}, ("left",)),
        ({"size": "small"}, ("small", "little")),
    ],
)
def test_what_a_page_has_is_always_said(change: dict[str, Any], words: tuple[str, ...]) -> None:
    for text in said(replace(PAGE, **change)):
        assert any(word in text for word in words), text


def test_two_characters_have_a_relation_and_three_an_order() -> None:
    pair = replace(PAGE, actors=(FOX, Actor("pig", "blue")), relation="behind")
    assert all("behind" in text for text in said(pair))
    three = replace(pair, actors=(*pair.actors, Actor("bee", "yellow")))
    for text in said(three):
        assert "side by side" in text
        assert "behind" not in text
        places = [text.index(colour) for colour in ("red", "blue", "yellow")]
        assert places == sorted(places)


def test_articles_fit_their_words() -> None:
    texts = [page_caption(training_page(seed), seed) for seed in range(400)]
    wrong = re.compile(r"\ba [aeiou]|\ban [^aeiou]")
    assert not [text for text in texts if wrong.search(text)]


def test_a_sleeper_has_no_other_face() -> None:
    page = replace(PAGE, actors=(replace(FOX, pose="sleeping", expression="sad"),))
    assert not any("sad" in text or "crying" in text for text in said(page))


def test_every_setting_has_phrases() -> None:
    assert set(SETTING_PHRASES) == set(SETTINGS)
