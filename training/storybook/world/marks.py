"""Marks on a character's largest part: spots, bands, a patch or a ring in another colour."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

from training.storybook.world.figures import Character, Role, own
from training.storybook.world.shapes import Ellipse, Polygon, Shape, Stroke, circle
from training.storybook.world.vocabulary import Colour


def with_marks(
    character: Character, kind: str, colour: Colour, generator: random.Random
) -> Character:
    """Return the character with marks of a kind; "none" leaves it as it is."""
    parts = character.figure.parts
    coats = [i for i, part in enumerate(parts) if part.role is Role.COAT]
    largest = max(coats, key=lambda i: _area(parts[i].shape))
    left, top, right, bottom = bounds(parts[largest].shape)
    middle = ((left + right) / 2, (top + bottom) / 2)
    marks = tuple(
        own(shape.placed(1, *middle), colour)
        for shape in _shapes(kind, right - left, bottom - top, generator)
    )
    # Right after the part they lie on: what is painted later stays on top of them.
    changed = (*parts[: largest + 1], *marks, *parts[largest + 1 :])
    return replace(character, figure=replace(character.figure, parts=changed))


def bounds(shape: Shape) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom; a stroke's without its width."""
    match shape:
        case Ellipse():
            rx, ry = shape.radius_x, shape.radius_y
            return (shape.x - rx, shape.y - ry, shape.x + rx, shape.y + ry)
        case Polygon() | Stroke():
            xs, ys = zip(*shape.points, strict=True)
            return (min(xs), min(ys), max(xs), max(ys))


def _shapes(kind: str, width: float, height: float, generator: random.Random) -> Iterable[Shape]:
    """Return marks around the origin that fit into an ellipse of this size."""
    match kind:
        case "spots":
            for _ in range(generator.randint(4, 7)):
                x, y = (generator.uniform(-0.28, 0.28) for _ in range(2))
                yield circle(x * width, y * height, generator.uniform(0.035, 0.075))
        case "bands":
            for y in (-0.22, 0.0, 0.22):
                half = 0.36 * width * (1 - abs(y))
                yield Stroke(((-half, y * height), (half, y * height)), 0.06)
        case "patch":
            side = generator.choice((-1, 1))
            yield Ellipse(side * 0.16 * width, 0.05 * height, 0.17 * width, 0.24 * height)
        case "ring":
            yield Ellipse(0, 0.1 * height, 0.30 * width, 0.09 * height)


def _area(shape: Shape) -> float:
    if isinstance(shape, Stroke):
        return 0.0  # a line, however long its way round, is no place for marks
    left, top, right, bottom = bounds(shape)
    return (right - left) * (bottom - top)
