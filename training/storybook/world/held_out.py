"""Characters that base training never sees: what teaching a character is tested with."""

from __future__ import annotations

import math

from training.storybook.world.figures import (
    BEAK,
    INK,
    Figure,
    belly,
    coat,
    own,
    pair,
    round_eyes,
    shade,
    smile,
)
from training.storybook.world.shapes import Ellipse, Point, Polygon, Stroke, circle


def snail() -> Figure:
    """A spiral house on a long foot, with eyes on stalks."""
    spiral = tuple(_on_spiral(step / 24) for step in range(25))
    parts = (
        *(coat(Stroke(((x, -0.20), (x - 0.06, -0.60)), 0.07)) for x in (-0.34, -0.20)),
        coat(Stroke(((-0.34, -0.16), (-0.26, -0.08), (0.44, -0.08)), 0.16)),
        shade(circle(0.10, -0.42, 0.34)),
        own(Stroke(spiral, 0.05), INK),
        *(own(circle(x - 0.06, -0.62, 0.075), INK, outer=True) for x in (-0.34, -0.20)),
    )
    return Figure(parts, head_y=-0.74, head_width=0.30, head_x=0.10)


def ghost() -> Figure:
    """A dome with a wavy hem and an open mouth."""
    hem = tuple((-0.34 + i * 0.085, -0.10 if i % 2 else 0.0) for i in range(9))
    parts = (
        coat(Ellipse(0, -0.62, 0.34, 0.36)),
        coat(Polygon(((-0.34, -0.62), *hem, (0.34, -0.62)))),
        *map(coat, pair(0.38, -0.40, 0.11, 0.07)),
        *(own(eye, INK) for eye in pair(0.13, -0.66, 0.065, 0.10)),
        own(Ellipse(0, -0.46, 0.08, 0.09), INK),
    )
    return Figure(parts, head_y=-0.94, head_width=0.34)


def owl() -> Figure:
    """Feather horns, eye discs and folded wings."""
    horns = (
        coat(Polygon(((s * 0.34, -1.0), (s * 0.02, -0.82), (s * 0.36, -0.6)))) for s in (-1, 1)
    )
    parts = (
        *horns,
        coat(Ellipse(0, -0.46, 0.36, 0.45)),
        *map(shade, pair(0.33, -0.38, 0.11, 0.28)),
        belly(Ellipse(0, -0.26, 0.20, 0.22)),
        *map(belly, pair(0.16, -0.66, 0.17, 0.17)),
        *round_eyes(0.16, -0.66, 0.11),
        own(Polygon(((-0.06, -0.58), (0.06, -0.58), (0, -0.46))), BEAK, rim=True),
        smile(0, -0.26, 0.08, 0.03),
    )
    return Figure(parts, head_y=-0.86, head_width=0.34)


def _on_spiral(t: float) -> Point:
    radius, angle = 0.24 * (1 - t) + 0.02, 4 * math.pi * t
    return (0.10 + radius * math.cos(angle), -0.42 + radius * math.sin(angle))
