"""Draws a scene: the setting, then the character, then what the style does last."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image

from training.storybook.world.accessories import accessory_parts
from training.storybook.world.brush import WHITE, Brush, darker, finish, mixed
from training.storybook.world.canvas import Canvas
from training.storybook.world.figures import Character, Figure, Part, Role
from training.storybook.world.settings import PAINTERS
from training.storybook.world.species import FIGURES
from training.storybook.world.vocabulary import COAT_COLOURS, Colour, Scene

HEIGHTS = {"small": 42.0, "medium": 58.0, "big": 72.0}  # units, of a figure of height 1
CENTRES = {"left": 0.27, "centre": 0.5, "right": 0.73}  # share of the width
FOOT_LINE = 0.92  # share of the height


@dataclass(frozen=True)
class Placement:
    """Where a figure's feet are, and how many units its height of 1 has."""

    x: float
    y: float
    scale: float


def draw(scene: Scene, seed: int, width: int = 64, height: int = 64) -> Image.Image:
    """Return the scene as an RGB picture in pixels; `seed` decides all that is not labelled."""
    return draw_character(character_of(scene), scene, seed, width, height)


def character_of(scene: Scene) -> Character:
    """Return who stands in the scene."""
    return Character(FIGURES[scene.species](), COAT_COLOURS[scene.colour])


def draw_character(
    character: Character, scene: Scene, seed: int, width: int = 64, height: int = 64
) -> Image.Image:
    """Return the scene with `character` in it, whatever species and colour the scene names."""
    generator = random.Random(seed)  # noqa: S311 - drawings, not secrets
    brush = Brush(Canvas.blank(width, height), scene.style)
    PAINTERS[scene.setting](brush, generator)
    place = _jittered(placement(scene, brush.canvas), generator)
    paint_character(brush, character, scene.accessory, place)
    return finish(brush.canvas.finished(), scene.style, generator)


def coat_mask(scene: Scene, width: int = 64, height: int = 64) -> Image.Image:
    """Return where the coat's own colour is when nothing is jittered: 255 inside, 0 elsewhere."""
    canvas = Canvas.blank(width, height, "L")
    place = placement(scene, canvas)
    for part in _dressed(FIGURES[scene.species](), scene.accessory):
        inside = 255 if part.role is Role.COAT else 0
        shape = part.shape.placed(place.scale, place.x, place.y)
        canvas.paint(shape, inside, grow=0.0 if inside else 1.5)
    return canvas.finished()


def placement(scene: Scene, canvas: Canvas) -> Placement:
    """Return where the scene's labels put the figure, before any jitter."""
    lift = 6.0 if scene.size == "small" else 0.0
    return Placement(
        CENTRES[scene.place] * canvas.width, FOOT_LINE * canvas.height - lift, HEIGHTS[scene.size]
    )


def paint_figure(brush: Brush, scene: Scene, place: Placement) -> None:
    """Paint the scene's character and what it wears."""
    paint_character(brush, character_of(scene), scene.accessory, place)


def paint_character(brush: Brush, character: Character, accessory: str, place: Placement) -> None:
    """Paint a character and what it wears: contour first, then the parts in order."""
    coat = character.coat
    line, width = brush.contour(coat)
    parts = _dressed(character.figure, accessory)
    for part in parts:
        if part.outer:
            brush.canvas.paint(part.shape.placed(place.scale, place.x, place.y), line, grow=width)
    for part in parts:
        shape = part.shape.placed(place.scale, place.x, place.y)
        if part.rim:
            brush.canvas.paint(shape, line, grow=width * 0.7)
        brush.canvas.paint(shape, brush.tinted(_colour(part, coat)))


def _dressed(figure: Figure, accessory: str) -> tuple[Part, ...]:
    return (*figure.parts, *_worn(figure, accessory))


def _worn(figure: Figure, accessory: str) -> tuple[Part, ...]:
    return tuple(
        Part(
            part.shape.placed(figure.head_width, figure.head_x, figure.head_y),
            part.role,
            part.colour,
            rim=part.rim,
        )
        for part in accessory_parts(accessory)
    )


def _colour(part: Part, coat: Colour) -> Colour:
    match part.role:
        case Role.COAT:
            return coat
        case Role.SHADE:
            return darker(coat, 0.22)
        case Role.BELLY:
            return mixed(coat, WHITE, 0.55)
        case Role.OWN:
            return part.colour


def _jittered(place: Placement, generator: random.Random) -> Placement:
    return Placement(
        place.x + generator.uniform(-3, 3),
        place.y + generator.uniform(-2, 2),
        place.scale * generator.uniform(0.96, 1.04),
    )
