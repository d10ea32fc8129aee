"""Exact measures of a page without any network: the coat that is seen, the figure that fits.

The same ideas as for the first world, for each character of a picture by itself. Fog, rain, night
and the like change every colour: `can_be_measured` says which pages these measures are meant for.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.storybook.wide.drawing import draw_page, nominal_stands, standing
from training.storybook.wide.dress import dressed
from training.storybook.wide.styles import WideBrush
from training.storybook.wide.vocabulary import COLOURS, SPECIES, Page
from training.storybook.world.canvas import Canvas
from training.storybook.world.drawing import Placement, paint_character
from training.storybook.world.figures import Role

Mask = NDArray[np.bool_]
NUDGES = (-2.0, 0.0, 2.0)  # units that a figure may stand beside its nominal place
GROWTHS = (0.98, 1.02)
LEAST = 24  # pixels of a coat that must be seen to tell its colour
BLACK_LIMIT = 20  # bytes; brighter is painted


def can_be_measured(page: Page) -> bool:
    """Return whether the page's characters are seen in their own colours."""
    return page.time == "day" and page.weather == "clear"


def coat_region(page: Page, index: int, size: tuple[int, int]) -> Mask:
    """Return where an actor's coat is seen when nothing is jittered; nearer ones cover it."""
    canvas = Canvas.blank(*size, "L")
    for stand in nominal_stands(page, canvas):
        actor = page.actors[stand.index]
        place = standing(actor, stand.place)
        for part in dressed(actor, _chance()).figure.parts:
            inside = 255 if stand.index == index and part.role is Role.COAT else 0
            shape = part.shape.placed(place.scale, place.x, place.y)
            canvas.paint(shape, inside, grow=0.0 if inside else 1.2)
    return np.asarray(canvas.finished()) > 250


def seen_colour(picture: Image.Image, page: Page, index: int) -> str | None:
    """Return the coat colour whose drawn median is nearest to the picture's; None if hidden."""
    inside = coat_region(page, index, picture.size)
    if inside.sum() < LEAST:
        return None
    seen = _median(picture, inside)

    def distance(colour: str) -> float:
        drawn = draw_page(_with(page, index, colour=colour), 0, *picture.size)
        return float(np.square(_median(drawn, inside) - seen).sum())

    return min(COLOURS, key=distance)


def seen_species(
    picture: Image.Image, page: Page, index: int, candidates: tuple[str, ...] = SPECIES
) -> str:
    """Return the species that changes the picture least when it is painted over it."""
    return min(
        candidates,
        key=lambda species: _change(picture, _with(page, index, species=species), index),
    )


def both_right(picture: Image.Image, page: Page) -> bool:
    """Return whether every character has its species and, as far as it is seen, its colour."""
    return all(
        seen_species(picture, page, i) == actor.species
        and seen_colour(picture, page, i) in (None, actor.colour)
        for i, actor in enumerate(page.actors)
    )


def _change(picture: Image.Image, page: Page, index: int) -> float:
    before = np.asarray(picture.convert("RGB"), dtype=np.float32)
    changes = []
    for place in _nearby(page, index, picture.size):
        touched = _painted(page, index, place, Image.new("RGB", picture.size)).max(2) > BLACK_LIMIT
        after = _painted(page, index, place, picture.convert("RGB"))
        changes.append(float(np.abs(after - before)[touched].mean()))
    return min(changes)


def _nearby(page: Page, index: int, size: tuple[int, int]) -> Iterable[Placement]:
    stands = nominal_stands(page, Canvas.blank(*size))
    (place,) = (stand.place for stand in stands if stand.index == index)
    place = standing(page.actors[index], place)
    for dx in NUDGES:
        for growth in GROWTHS:
            yield Placement(place.x + dx, place.y, place.scale * growth)


def _painted(page: Page, index: int, place: Placement, picture: Image.Image) -> NDArray[np.float32]:
    """Return the picture with the actor painted over it, and those that stand before it again."""
    brush = WideBrush(Canvas.over(picture), page.style)
    before_it = False
    for stand in nominal_stands(page, brush.canvas):
        actor = page.actors[stand.index]
        at = place if stand.index == index else standing(actor, stand.place)
        if stand.index == index or before_it:
            paint_character(brush, dressed(actor, _chance()), "none", at)
        before_it = before_it or stand.index == index
    return np.asarray(brush.canvas.finished(), dtype=np.float32)


def _median(picture: Image.Image, inside: Mask) -> NDArray[np.float32]:
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    return np.asarray(np.median(pixels[inside], axis=0))


def _with(page: Page, index: int, **changes: str) -> Page:
    actors = list(page.actors)
    actors[index] = replace(actors[index], **changes)
    return replace(page, actors=tuple(actors))


def _chance() -> random.Random:
    return random.Random(0)  # noqa: S311 - drawings, not secrets
