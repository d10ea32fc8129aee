"""Pages from chance: those that base training may see, and those that it never sees."""

from __future__ import annotations

import random
from dataclasses import replace

from training.storybook.wide.vocabulary import (
    CLOTHES,
    CLOTHES_COLOURS,
    COLOURS,
    EXPRESSIONS,
    FRAMINGS,
    HATS,
    HELD_OUT_SPECIES,
    MARKS,
    MOST_CHARACTERS,
    OUTDOORS,
    PLACES,
    POSES,
    PROPS,
    RELATIONS,
    SETTINGS,
    SIZES,
    SPECIES,
    STYLES,
    TIMES,
    WEATHERS,
    Actor,
    Page,
)

USUAL = 0.62  # share of characters that have the usual one of each: no hat, no prop, standing ...
CROWDS = (0.6, 0.28, 0.12)  # one character, two, three
HOURS = (0.7, 0.12, 0.18)
WEATHER = (0.76, 0.08, 0.08, 0.08)
FRAMED = (0.76, 0.12, 0.12)
FLAT = (0.34, *(0.11,) * (len(STYLES) - 1))


def training_page(seed: int) -> Page:
    """Return a page that base training may see; the same for the same seed."""
    return _wanted(f"training page {seed}", held_out=False)


def unseen_page(seed: int) -> Page:
    """Return a page of known words whose combination base training never sees."""
    return _wanted(f"unseen page {seed}", held_out=True)


def stranger_page(seed: int) -> Page:
    """Return a page of one held-out species, alone."""
    generator = random.Random(f"stranger page {seed}")  # noqa: S311 - drawings, not secrets
    return _page(generator, HELD_OUT_SPECIES, 1)


def _wanted(source: str, *, held_out: bool) -> Page:
    generator = random.Random(source)  # noqa: S311 - drawings, not secrets
    while True:
        count = generator.choices(range(1, MOST_CHARACTERS + 1), CROWDS)[0]
        page = _page(generator, SPECIES, count)
        if page.held_out == held_out:
            return page


def _page(generator: random.Random, species: tuple[str, ...], count: int) -> Page:
    setting = generator.choice(SETTINGS)
    outdoors = setting in OUTDOORS
    framing = generator.choices(FRAMINGS, FRAMED)[0] if count == 1 else "full"
    # All of one picture differ, so that "left of" says something.
    cast = [_actor(generator, name, alone=count == 1) for name in generator.sample(species, count)]
    if framing == "close-up":
        cast = [_without_what_is_out_of_sight(actor) for actor in cast]
    return Page(
        actors=tuple(cast),
        setting=setting,
        time=generator.choices(TIMES, HOURS)[0] if outdoors else "day",
        weather=generator.choices(WEATHERS, WEATHER)[0] if outdoors else "clear",
        framing=framing,
        style=generator.choices(STYLES, FLAT)[0],
        relation=generator.choice(RELATIONS),
        place=_usually(generator, PLACES) if framing == "full" else "centre",
        size=_usually(generator, SIZES) if framing == "full" else "medium",
    )


def _without_what_is_out_of_sight(actor: Actor) -> Actor:
    """Return the actor without what a close-up does not show: hands, feet and leaps."""
    return replace(
        actor,
        clothes="none" if actor.clothes in ("boots", "cape") else actor.clothes,
        prop="none",
        pose="sleeping" if actor.pose == "sleeping" else "standing",
    )


def _actor(generator: random.Random, species: str, *, alone: bool) -> Actor:
    colour = generator.choice(COLOURS)
    others = [name for name in COLOURS if name != colour]
    return Actor(
        species=species,
        colour=colour,
        marks=_usually(generator, MARKS),
        marks_colour=generator.choice(others),
        clothes=_usually(generator, CLOTHES),
        clothes_colour=generator.choice(CLOTHES_COLOURS),
        hat=_usually(generator, HATS),
        # Several characters with things in their hands hide one another.
        prop=_usually(generator, PROPS) if alone else "none",
        pose=_usually(generator, POSES),
        expression=_usually(generator, EXPRESSIONS),
    )


def _usually(generator: random.Random, values: tuple[str, ...]) -> str:
    return values[0] if generator.random() < USUAL else generator.choice(values[1:])
