"""What a character is made of: parts with roles, an anchor for what it wears."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from training.storybook.world.shapes import Ellipse, Shape, Stroke, circle
from training.storybook.world.vocabulary import Colour

INK: Colour = (34, 30, 40)
ROSE: Colour = (246, 132, 150)
BEAK: Colour = (252, 168, 36)
SNOW_WHITE: Colour = (255, 255, 255)


class Role(Enum):
    """Where a part's colour comes from."""

    COAT = auto()
    SHADE = auto()  # the coat, darker
    BELLY = auto()  # the coat, lighter
    OWN = auto()  # the part's own colour, whatever the coat


@dataclass(frozen=True)
class Part:
    """One shape of a figure, in a frame with the feet at y 0 and a height of about 1."""

    shape: Shape
    role: Role = Role.COAT
    colour: Colour = INK
    outer: bool = False  # belongs to the silhouette, which gets a contour as a whole
    rim: bool = False  # gets a contour of its own


@dataclass(frozen=True)
class Figure:
    """A character without its colour. `head_*` says where a hat sits and how wide it is."""

    parts: tuple[Part, ...]
    head_y: float
    head_width: float
    head_x: float = 0.0


@dataclass(frozen=True)
class Character:
    """A figure in its colour: what stays the same from picture to picture."""

    figure: Figure
    coat: Colour


def coat(shape: Shape) -> Part:
    """Return a part of the silhouette in the coat's colour."""
    return Part(shape, outer=True)


def shade(shape: Shape) -> Part:
    """Return a part of the silhouette in the darker coat colour."""
    return Part(shape, Role.SHADE, outer=True)


def belly(shape: Shape) -> Part:
    """Return an inner part in the lighter coat colour."""
    return Part(shape, Role.BELLY)


def own(shape: Shape, colour: Colour, *, outer: bool = False, rim: bool = False) -> Part:
    """Return a part whose colour does not depend on the coat."""
    return Part(shape, Role.OWN, colour, outer=outer, rim=rim)


def pair(x: float, y: float, radius_x: float, radius_y: float) -> tuple[Ellipse, Ellipse]:
    """Return two equal ellipses left and right of the middle."""
    return (Ellipse(-x, y, radius_x, radius_y), Ellipse(x, y, radius_x, radius_y))


def dot_eyes(x: float, y: float, radius: float = 0.05) -> tuple[Part, ...]:
    """Return two dark eyes with a small light in each."""
    dark = (own(eye, INK) for eye in pair(x, y, radius, radius * 1.2))
    light = (
        own(circle(side + radius * 0.3, y - radius * 0.45, radius * 0.38), SNOW_WHITE)
        for side in (-x, x)
    )
    return (*dark, *light)


def round_eyes(x: float, y: float, radius: float) -> tuple[Part, ...]:
    """Return two white eyes with wide pupils."""
    white = (own(eye, SNOW_WHITE) for eye in pair(x, y, radius, radius))
    pupils = (
        own(eye, INK) for eye in pair(x * 0.96, y + radius * 0.1, radius * 0.55, radius * 0.6)
    )
    return (*white, *pupils)


def smile(x: float, y: float, width: float, depth: float, thickness: float = 0.035) -> Part:
    """Return a dark mouth around (x, y), bent down by `depth`."""
    points = tuple((x + width * t, y + depth * (1 - t * t)) for t in (-1.0, -0.6, 0.0, 0.6, 1.0))
    return own(Stroke(points, thickness), INK)
