"""What a character wears on its head; the frame has its origin where the hat sits, width 1."""

from __future__ import annotations

import math

from training.storybook.world.figures import Part, own
from training.storybook.world.shapes import Polygon, Stroke, box, circle

GOLD = (255, 206, 40)
BLACK = (44, 42, 58)


def accessory_parts(name: str) -> tuple[Part, ...]:
    """Return the parts of a crown, top hat or flower; nothing for "none"."""
    match name:
        case "crown":
            return _crown()
        case "top hat":
            return _top_hat()
        case "flower":
            return _flower()
        case _:
            return ()


def _crown() -> tuple[Part, ...]:
    points = ((-0.5, 0.1), (-0.62, -0.55), (-0.24, -0.2), (0, -0.7), (0.24, -0.2), (0.62, -0.55))
    return (
        own(Polygon((*points, (0.5, 0.1))), GOLD, rim=True),
        own(circle(0, -0.08, 0.11), (226, 52, 70)),
    )


def _top_hat() -> tuple[Part, ...]:
    return (
        own(box(-0.46, -0.95, 0.46, 0.0), BLACK, rim=True),
        own(box(-0.46, -0.32, 0.46, -0.08), (222, 60, 66)),
        own(Stroke(((-0.75, 0.04), (0.75, 0.04)), 0.2), BLACK, rim=True),
    )


def _flower() -> tuple[Part, ...]:
    turns = (i * math.tau / 5 for i in range(5))
    petals = (circle(0.42 + 0.24 * math.sin(a), -0.05 - 0.24 * math.cos(a), 0.2) for a in turns)
    return (
        *(own(petal, (255, 120, 176), rim=True) for petal in petals),
        own(circle(0.42, -0.05, 0.17), (255, 232, 110)),
    )
