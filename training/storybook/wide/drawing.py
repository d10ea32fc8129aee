"""Draws a page: the setting at its hour, characters from back to front, weather, style."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from training.storybook.wide.dress import dressed, height_of
from training.storybook.wide.settings import PAINTERS
from training.storybook.wide.species import FIGURES
from training.storybook.wide.styles import WideBrush, finished, shadow
from training.storybook.wide.vocabulary import Actor, Page
from training.storybook.wide.weather import hour, hour_on_characters, weather
from training.storybook.world.canvas import Canvas
from training.storybook.world.drawing import (
    CENTRES,
    FOOT_LINE,
    HEIGHTS,
    Placement,
    paint_character,
)
from training.storybook.world.figures import Character
from training.storybook.world.shapes import Ellipse

# Width and height of a picture, all with about the pixels of the first.
BUCKETS = {"1:1": (128, 128), "16:9": (176, 96), "9:16": (96, 176)}
PAIR = 2  # so many characters have a relation; more stand side by side
HAT = 0.26  # height of a hat, in heights of its wearer
MARGIN = 9.0  # units above the head of a close-up
CLOSE, FAR = 1.75, 0.55  # how much larger a framing shows its characters
JUMP = 13.0  # units above the ground
KEY = (1, 255, 1)  # a colour that nothing has, to see where characters are
TOUCHED = 24  # bytes of difference from it; less is the edge's own softness


@dataclass(frozen=True)
class Stand:
    """One character's place in the picture, and its number among the page's actors."""

    index: int
    place: Placement


def draw_page(page: Page, seed: int, width: int = 128, height: int = 128) -> Image.Image:
    """Return the page as an RGB picture in pixels; `seed` decides all that is not labelled."""
    generator = random.Random(f"page {seed}")  # noqa: S311 - drawings, not secrets
    ground = Canvas.blank(width, height)
    PAINTERS[page.setting](WideBrush(ground, page.style), generator)
    image = hour(ground.finished(), page.time, generator)
    for stand in stands(page, ground, generator):
        image = _with_character(image, page, stand, generator)
    return finished(weather(image, page.weather, generator), page.style, generator)


def stands(page: Page, canvas: Canvas, generator: random.Random) -> tuple[Stand, ...]:
    """Return where each actor stands, from back to front."""
    return _in_order(page, [_jittered(place, generator) for place in _places(page, canvas)])


def nominal_stands(page: Page, canvas: Canvas) -> tuple[Stand, ...]:
    """Return where each actor stands before chance has its say, from back to front."""
    return _in_order(page, _places(page, canvas))


def standing(actor: Actor, place: Placement) -> Placement:
    """Return where the actor's feet are, given its place on the ground."""
    if actor.pose != "jumping":
        return place
    return Placement(place.x, place.y - JUMP * place.scale / HEIGHTS["medium"], place.scale)


def _places(page: Page, canvas: Canvas) -> list[Placement]:
    return [
        _framed(page, actor, place, canvas)
        for actor, place in zip(page.actors, _nominal(page, canvas), strict=True)
    ]


def _in_order(page: Page, places: list[Placement]) -> tuple[Stand, ...]:
    on_top = len(page.actors) == PAIR and page.relation == "on top of"
    if on_top:
        places = [_on_head(page.actors[1], places[1]), places[1]]
    found = [Stand(i, place) for i, place in enumerate(places)]
    return tuple(sorted(found, key=lambda stand: (on_top and stand.index == 0, stand.place.y)))


def _nominal(page: Page, canvas: Canvas) -> list[Placement]:
    """Return places before framing and chance; the first actor's first."""
    foot, width = FOOT_LINE * canvas.height, canvas.width
    if len(page.actors) == 1:
        lift = 6.0 if page.size == "small" else 0.0
        return [Placement(CENTRES[page.place] * width, foot - lift, HEIGHTS[page.size])]
    if len(page.actors) == PAIR:
        return _pair(page.relation, width, foot)
    scale = min(46.0, width * 0.30)
    return [Placement(share * width, foot, scale) for share in (0.19, 0.5, 0.81)]


def _pair(relation: str, width: float, foot: float) -> list[Placement]:
    scale = min(54.0, width * 0.42)
    left, right = Placement(0.29 * width, foot, scale), Placement(0.71 * width, foot, scale)
    rear = Placement(0.60 * width, foot - 13, scale * 0.92)
    front = Placement(0.37 * width, foot + 3, scale)
    match relation:
        case "right of":
            return [right, left]
        case "behind":
            return [rear, front]
        case "in front of":
            return [front, rear]
        case "on top of":
            below = Placement(0.5 * width, foot + 2, scale * 0.84)
            return [below, below]
        case _:
            return [left, right]


def _framed(page: Page, actor: Actor, place: Placement, canvas: Canvas) -> Placement:
    """Return a place seen from near, with the hat just inside the picture, or from afar."""
    middle = canvas.width / 2
    match page.framing:
        case "close-up":
            scale = place.scale * CLOSE
            figure = FIGURES[actor.species]()
            tall = height_of(figure) + (HAT if actor.hat != "none" else 0.0)
            return Placement(middle - figure.head_x * scale / 2, MARGIN + tall * scale, scale)
        case "far":
            x = middle + (place.x - middle) * 0.7
            return Placement(x, place.y - 9, place.scale * FAR)
        case _:
            return place


def _jittered(place: Placement, generator: random.Random) -> Placement:
    return Placement(
        place.x + generator.uniform(-2.5, 2.5),
        place.y + generator.uniform(-1.5, 1.5),
        place.scale * generator.uniform(0.96, 1.04),
    )


def _on_head(below: Actor, place: Placement) -> Placement:
    figure = FIGURES[below.species]()
    head = height_of(figure) * place.scale * 0.92
    return Placement(place.x + figure.head_x * place.scale, place.y - head, place.scale * 0.72)


def _with_character(
    image: Image.Image, page: Page, stand: Stand, generator: random.Random
) -> Image.Image:
    """Return the picture with one more character in it, lit by the hour, with its shadow."""
    actor = page.actors[stand.index]
    character, place = dressed(actor, generator), stand.place
    canvas = Canvas.over(image)
    if actor.pose == "jumping":
        shade = Ellipse(place.x, place.y, place.scale * 0.26, place.scale * 0.05)
        canvas.paint(shade, (60, 56, 70))
    place = standing(actor, place)
    mask = _mask(page, character, place, image)
    if page.style == "paper cut":
        canvas = Canvas.over(shadow(canvas.finished(), mask))
    paint_character(WideBrush(canvas, page.style), character, "none", place)
    painted = canvas.finished()
    return Image.composite(hour_on_characters(painted, page.time), painted, mask)


def _mask(page: Page, character: Character, place: Placement, image: Image.Image) -> Image.Image:
    """Return where the character is: 255 inside, 0 elsewhere."""
    canvas = Canvas.over(Image.new("RGB", image.size, KEY))
    paint_character(WideBrush(canvas, page.style), character, "none", place)
    pixels = np.asarray(canvas.finished(), dtype=np.int16)
    touched = np.abs(pixels - np.asarray(KEY, dtype=np.int16)).max(axis=2) > TOUCHED
    return Image.fromarray((touched * 255).astype(np.uint8))
