"""Characters nobody named: random figures and marks, so that a judge learns to tell any two apart.

No base model sees them. They are as different from one another as the named species are.
"""

from __future__ import annotations

import random

from training.storybook.world.figures import (
    BEAK,
    INK,
    Character,
    Figure,
    Part,
    belly,
    coat,
    dot_eyes,
    own,
    pair,
    round_eyes,
    shade,
    smile,
)
from training.storybook.world.marks import with_marks
from training.storybook.world.shapes import (
    Ellipse,
    Polygon,
    Shape,
    Stroke,
    box,
    circle,
    curve,
    star,
)
from training.storybook.world.vocabulary import COAT_COLOURS

BODIES = ("egg", "box", "cone", "star", "drop")
HEADS = ("none", "round", "wide", "square", "pointed")
TOPS = ("none", "round ears", "pointed ears", "long ears", "horns", "stalks", "fin")
FEET = ("none", "stubs", "thin", "arms")
EYES = ("one", "dots", "round", "three")
MOUTHS = ("smile", "beak", "open", "none")
MARKS = ("none", "none", "spots", "bands", "patch", "ring")
SIDES = (-1, 1)
FACE = -0.70  # height of the eyes of a creature with a head
FACELESS = -0.55  # and of one that is all body


def creature(seed: int) -> Character:
    """Return a random character in one of the world's colours; the same for the same seed."""
    generator = random.Random(f"creature {seed}")  # noqa: S311 - drawings, not secrets
    head = generator.choice(HEADS)
    parts = (
        *_feet(generator.choice(FEET)),
        *_top(generator.choice(TOPS), generator),
        coat(_body(generator.choice(BODIES), generator)),
        *_head(head, generator),
        *_face(FACELESS if head == "none" else FACE, generator),
    )
    figure = Figure(parts, head_y=-0.92, head_width=0.34)
    colour = generator.choice(tuple(COAT_COLOURS.values()))
    return _marked(Character(figure, colour), generator)


def marked(character: Character, seed: int) -> Character:
    """Return the character with spots, bands, a patch or a ring on its largest part, or without."""
    generator = random.Random(f"marks {seed}")  # noqa: S311 - drawings, not secrets
    return _marked(character, generator)


def _marked(character: Character, generator: random.Random) -> Character:
    colour = generator.choice([c for c in COAT_COLOURS.values() if c != character.coat])
    return with_marks(character, generator.choice(MARKS), colour, generator)


def _body(kind: str, generator: random.Random) -> Shape:
    wide = generator.uniform(0.24, 0.40)
    match kind:
        case "box":
            return box(-wide, -0.66, wide, -0.04)
        case "cone":
            return Polygon(((0, -0.86), (wide + 0.06, -0.02), (-wide - 0.06, -0.02)))
        case "star":
            return star(0, -0.44, 0.48, generator.uniform(0.45, 0.75), generator.randint(4, 8))
        case "drop":
            return Polygon(curve(((0, -0.9), (wide, -0.3), (0, 0.0), (-wide, -0.3), (0, -0.9))))
        case _:
            return Ellipse(0, -0.38, wide, 0.38)


def _head(kind: str, generator: random.Random) -> tuple[Part, ...]:
    wide = generator.uniform(0.22, 0.38)
    match kind:
        case "round":
            return (coat(circle(0, -0.68, wide * 0.9)),)
        case "wide":
            return (coat(Ellipse(0, -0.68, wide * 1.3, 0.22)),)
        case "square":
            return (coat(box(-wide, -0.92, wide, -0.48)),)
        case "pointed":
            return (coat(Polygon(((0, -1.02), (wide + 0.05, -0.48), (-wide - 0.05, -0.48)))),)
        case _:
            return ()


def _top(kind: str, generator: random.Random) -> tuple[Part, ...]:
    apart = generator.uniform(0.12, 0.28)
    match kind:
        case "round ears":
            return tuple(map(coat, pair(apart, -0.90, 0.13, 0.13)))
        case "pointed ears":
            ears = (
                ((s * (apart + 0.1), -1.08), (s * 0.04, -0.8), (s * 0.34, -0.62)) for s in SIDES
            )
            return tuple(coat(Polygon(ear)) for ear in ears)
        case "long ears":
            return tuple(map(coat, pair(apart, -0.98, 0.08, 0.26)))
        case "horns":
            horns = (((s * 0.12, -0.78), (s * 0.30, -0.92), (s * 0.28, -1.08)) for s in SIDES)
            return tuple(own(Stroke(curve(horn), 0.08), BEAK, outer=True) for horn in horns)
        case "stalks":
            stalks = (shade(Stroke(((s * 0.1, -0.7), (s * apart, -1.05)), 0.06)) for s in SIDES)
            return (*stalks, *(shade(circle(s * apart, -1.07, 0.07)) for s in SIDES))
        case "fin":
            return (shade(Polygon(((-0.22, -0.75), (0.0, -1.12), (0.22, -0.75)))),)
        case _:
            return ()


def _feet(kind: str) -> tuple[Part, ...]:
    match kind:
        case "stubs":
            return tuple(map(coat, pair(0.18, -0.05, 0.13, 0.08)))
        case "thin":
            legs = (((s * 0.14, -0.2), (s * 0.14, -0.02), (s * 0.24, -0.02)) for s in SIDES)
            return tuple(own(Stroke(leg, 0.055), INK) for leg in legs)
        case "arms":
            arms = (((s * 0.2, -0.3), (s * 0.46, -0.34), (s * 0.54, -0.5)) for s in SIDES)
            return tuple(coat(Stroke(curve(arm), 0.11)) for arm in arms)
        case _:
            return ()


def _face(y: float, generator: random.Random) -> tuple[Part, ...]:
    apart, radius = generator.uniform(0.10, 0.17), generator.uniform(0.07, 0.11)
    match generator.choice(EYES):
        case "one":
            eyes: tuple[Part, ...] = round_eyes(0.0, y, radius * 1.5)
        case "dots":
            eyes = dot_eyes(apart, y)
        case "three":
            eyes = (*dot_eyes(apart, y), own(circle(0, y - 0.1, 0.05), INK))
        case _:
            eyes = round_eyes(apart, y, radius)
    return (*eyes, *_mouth(y + 0.17, generator))


def _mouth(y: float, generator: random.Random) -> tuple[Part, ...]:
    match generator.choice(MOUTHS):
        case "smile":
            return (smile(0, y, generator.uniform(0.08, 0.18), 0.06),)
        case "beak":
            return (own(Polygon(((-0.09, y - 0.05), (0.09, y - 0.05), (0, y + 0.08))), BEAK),)
        case "open":
            return (own(Ellipse(0, y, 0.08, 0.07), INK),)
        case _:
            return (belly(Ellipse(0, y + 0.12, 0.14, 0.12)),)
