"""What a character wears, holds and does, as parts in its own frame."""

from __future__ import annotations

import random

from training.storybook.wide.faces import closed_eyes, expression_parts
from training.storybook.wide.species import FIGURES
from training.storybook.wide.vocabulary import COATS, Actor
from training.storybook.world.accessories import accessory_parts
from training.storybook.world.figures import (
    INK,
    SNOW_WHITE,
    Character,
    Figure,
    Part,
    coat,
    own,
    pair,
)
from training.storybook.world.marks import bounds, with_marks
from training.storybook.world.shapes import Ellipse, Polygon, Stroke, box, circle, curve
from training.storybook.world.vocabulary import Colour

CLOTH: dict[str, Colour] = {
    "red": (222, 60, 66),
    "yellow": (250, 206, 60),
    "green": (66, 168, 88),
    "blue": (60, 112, 222),
    "purple": (150, 84, 200),
}
NECK = -0.40  # of most figures; a scarf lies below the face
HAND = (0.46, -0.40)
WOOD: Colour = (132, 92, 58)


def dressed(actor: Actor, generator: random.Random) -> Character:
    """Return the actor as a character: marks, clothes, hat, prop, face and pose, in one figure."""
    figure = FIGURES[actor.species]()
    character = with_marks(
        Character(figure, COATS[actor.colour]), actor.marks, COATS[actor.marks_colour], generator
    )
    behind, before = _clothes(actor.clothes, CLOTH[actor.clothes_colour])
    face = (
        closed_eyes(figure)
        if actor.pose == "sleeping"
        else expression_parts(figure, actor.expression)
    )
    parts = (
        *behind,
        *_arm(actor),
        *character.figure.parts,
        *before,
        *face,
        *_hat(figure, actor.hat),
        *_prop(actor.prop),
        *_dreams(figure, actor.pose),
    )
    return Character(Figure(parts, figure.head_y, figure.head_width, figure.head_x), character.coat)


def height_of(figure: Figure) -> float:
    """Return how high the figure reaches above its feet."""
    return -min(bounds(part.shape)[1] for part in figure.parts)


def _clothes(kind: str, colour: Colour) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Return what hangs behind the figure, and what is on it."""
    match kind:
        case "scarf":
            end = own(Stroke(((0.14, NECK), (0.20, NECK + 0.20)), 0.09), colour, rim=True)
            band = own(Stroke(((-0.22, NECK), (0.0, NECK + 0.03), (0.22, NECK)), 0.09), colour)
            return (), (end, band)
        case "bow tie":
            wings = tuple(
                own(Polygon(((0, NECK), (s * 0.16, NECK - 0.08), (s * 0.16, NECK + 0.08))), colour)
                for s in (-1, 1)
            )
            return (), (*wings, own(circle(0, NECK, 0.045), colour, rim=True))
        case "cape":
            cloth = ((-0.20, -0.50), (0.20, -0.50), (0.46, -0.02), (-0.46, -0.02))
            clasp = own(circle(0, NECK, 0.05), colour, rim=True)
            return (own(Polygon(cloth), colour, outer=True),), (clasp,)
        case "boots":
            return (), tuple(own(boot, colour, rim=True) for boot in pair(0.16, -0.05, 0.13, 0.07))
        case _:
            return (), ()


def _hat(figure: Figure, kind: str) -> tuple[Part, ...]:
    return tuple(
        Part(
            part.shape.placed(figure.head_width, figure.head_x, figure.head_y),
            part.role,
            part.colour,
            rim=part.rim,
        )
        for part in _hat_parts(kind)
    )


def _hat_parts(kind: str) -> tuple[Part, ...]:
    """Return a hat in the frame that accessories have: origin where it sits, width 1."""
    match kind:
        case "party hat":
            cone = ((-0.42, 0.05), (0.0, -0.95), (0.42, 0.05))
            band = own(Stroke(((-0.20, -0.4), (0.20, -0.4)), 0.12), (250, 206, 60))
            return (
                own(Polygon(cone), (90, 170, 240), rim=True),
                band,
                own(circle(0, -0.95, 0.15), (250, 110, 150), rim=True),
            )
        case "beanie":
            return (
                own(Ellipse(0, -0.12, 0.55, 0.42), (76, 130, 214), rim=True),
                own(Stroke(((-0.52, 0.08), (0.52, 0.08)), 0.2), (236, 240, 250), rim=True),
                own(circle(0, -0.56, 0.14), (236, 240, 250), rim=True),
            )
        case _:
            return accessory_parts(kind)


def _prop(kind: str) -> tuple[Part, ...]:
    """Return what is held in the right hand, with the hand's own stick or string."""
    x, y = HAND
    match kind:
        case "balloon":
            string = own(Stroke(((x, y), (x + 0.04, y - 0.42)), 0.02), INK)
            return string, own(Ellipse(x + 0.05, y - 0.58, 0.14, 0.17), (238, 70, 88), rim=True)
        case "umbrella":
            stick = own(Stroke(((x, y + 0.1), (x, y - 0.60)), 0.035), WOOD)
            points = ((-0.34, -0.48), (-0.22, -0.68), (0.0, -0.78), (0.22, -0.68), (0.34, -0.48))
            cover = curve(tuple((x + px, y + py) for px, py in points))
            return stick, own(Polygon(cover), (250, 206, 60), rim=True)
        case "flag":
            stick = own(Stroke(((x, y + 0.12), (x, y - 0.56)), 0.035), WOOD)
            return stick, own(box(x, y - 0.56, x + 0.30, y - 0.34), (70, 170, 90), rim=True)
        case "lantern":
            glow = own(circle(x, y + 0.12, 0.13), (255, 246, 186))
            return glow, own(box(x - 0.06, y + 0.02, x + 0.06, y + 0.22), (255, 196, 60), rim=True)
        case _:
            return ()


def _arm(actor: Actor) -> tuple[Part, ...]:
    """Return an arm for what a figure does with one: waving on the left, holding on the right."""
    arms: list[Part] = []
    if actor.pose == "waving":
        arms.append(coat(Stroke(((-0.16, -0.32), (-0.42, -0.46), (-0.46, -0.72)), 0.10)))
    if actor.prop != "none":
        arms.append(coat(Stroke(((0.16, -0.30), HAND), 0.10)))
    return tuple(arms)


def _dreams(figure: Figure, pose: str) -> tuple[Part, ...]:
    """Return a rising z for a sleeper."""
    if pose != "sleeping":
        return ()
    letters = []
    for i, size in enumerate((0.07, 0.10)):
        x, y = figure.head_x + 0.34 + 0.12 * i, figure.head_y - 0.10 - 0.20 * i
        points = ((x, y), (x + size, y), (x, y + size), (x + size, y + size))
        letters += [own(Stroke(points, 0.06), INK), own(Stroke(points, 0.03), SNOW_WHITE)]
    return tuple(letters)
