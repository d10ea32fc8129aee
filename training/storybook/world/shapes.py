"""Shapes as plain values: an ellipse, a polygon, and a stroke with round ends.

Lengths are in units of which a picture's short side has 100; y points down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True)
class Ellipse:
    """An upright ellipse around its centre, with two radii."""

    x: float
    y: float
    radius_x: float
    radius_y: float

    def placed(self, scale: float, x: float, y: float) -> Ellipse:
        """Return it scaled around the origin, then moved by (x, y)."""
        return Ellipse(
            self.x * scale + x, self.y * scale + y, self.radius_x * scale, self.radius_y * scale
        )


@dataclass(frozen=True)
class Polygon:
    """A closed shape through its corners."""

    points: tuple[Point, ...]

    def placed(self, scale: float, x: float, y: float) -> Polygon:
        """Return it scaled around the origin, then moved by (x, y)."""
        return Polygon(tuple((px * scale + x, py * scale + y) for px, py in self.points))


@dataclass(frozen=True)
class Stroke:
    """A line with round ends and joints, drawn through its points."""

    points: tuple[Point, ...]
    width: float

    def placed(self, scale: float, x: float, y: float) -> Stroke:
        """Return it scaled around the origin, then moved by (x, y)."""
        moved = tuple((px * scale + x, py * scale + y) for px, py in self.points)
        return Stroke(moved, self.width * scale)


Shape = Ellipse | Polygon | Stroke


def circle(x: float, y: float, radius: float) -> Ellipse:
    """Return a circle."""
    return Ellipse(x, y, radius, radius)


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """Return an upright rectangle."""
    return Polygon(((left, top), (right, top), (right, bottom), (left, bottom)))


def star(x: float, y: float, radius: float, inner: float = 0.45, corners: int = 5) -> Polygon:
    """Return a star with one corner pointing up; `inner` is the notches' share of the radius."""
    return Polygon(
        tuple(
            (
                x + radius * (1.0 if i % 2 == 0 else inner) * math.sin(i * math.pi / corners),
                y - radius * (1.0 if i % 2 == 0 else inner) * math.cos(i * math.pi / corners),
            )
            for i in range(2 * corners)
        )
    )


def curve(points: Sequence[Point], steps: int = 6) -> tuple[Point, ...]:
    """Return a smooth line through `points`, `steps` points for every gap.

    Source: Catmull and Rom 1974, with the ends doubled.
    """
    padded = [points[0], *points, points[-1]]
    smooth: list[Point] = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        smooth.extend(_between(a, b, c, d, step / steps) for step in range(steps))
    return (*smooth, points[-1])


def _between(a: Point, b: Point, c: Point, d: Point, t: float) -> Point:
    weights = (
        0.5 * (-t + 2 * t**2 - t**3),
        0.5 * (2 - 5 * t**2 + 3 * t**3),
        0.5 * (t + 4 * t**2 - 3 * t**3),
        0.5 * (-(t**2) + t**3),
    )
    x, y = (sum(w * p[axis] for w, p in zip(weights, (a, b, c, d), strict=True)) for axis in (0, 1))
    return (x, y)
