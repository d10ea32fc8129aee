"""The characters of the world; each has a silhouette that is known without its face."""

from __future__ import annotations

from collections.abc import Callable

from training.storybook.world.figures import (
    BEAK,
    INK,
    ROSE,
    SNOW_WHITE,
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
from training.storybook.world.held_out import ghost, owl, snail
from training.storybook.world.shapes import Ellipse, Polygon, Stroke, box, circle, curve


def bear() -> Figure:
    """Round ears, a light muzzle and a light belly."""
    parts = (
        *map(coat, pair(0.25, -0.86, 0.13, 0.13)),
        *map(coat, pair(0.28, -0.30, 0.10, 0.15)),
        *map(coat, pair(0.15, -0.06, 0.13, 0.08)),
        coat(Ellipse(0, -0.26, 0.28, 0.25)),
        coat(Ellipse(0, -0.64, 0.34, 0.28)),
        *map(belly, pair(0.25, -0.87, 0.065, 0.065)),
        belly(Ellipse(0, -0.22, 0.17, 0.16)),
        belly(Ellipse(0, -0.55, 0.16, 0.12)),
        own(Ellipse(0, -0.60, 0.065, 0.045), INK),
        *dot_eyes(0.16, -0.70),
    )
    return Figure(parts, head_y=-0.90, head_width=0.40)


def cat() -> Figure:
    """Pointed ears, whiskers and a raised tail."""
    tail = curve(((0.12, -0.08), (0.36, -0.10), (0.46, -0.28), (0.42, -0.48)))
    parts: list[Part] = [coat(Stroke(tail, 0.11)), coat(Ellipse(0, -0.22, 0.23, 0.23))]
    for side in (-1, 1):
        ear = ((side * 0.33, -1.00), (side * 0.05, -0.80), (side * 0.34, -0.58))
        inner = ((side * 0.29, -0.90), (side * 0.14, -0.78), (side * 0.30, -0.68))
        parts += [coat(Polygon(ear)), own(Polygon(inner), ROSE)]
    parts += [coat(Ellipse(0, -0.58, 0.35, 0.26)), belly(Ellipse(0, -0.19, 0.13, 0.15))]
    for side in (-1, 1):
        for dy in (-0.03, 0.04):
            whisker = ((side * 0.22, -0.52 + dy * 0.3), (side * 0.47, -0.53 + dy * 1.6))
            parts.append(own(Stroke(whisker, 0.024), INK))
    parts += [*dot_eyes(0.16, -0.62, 0.055)]
    parts += [own(Polygon(((-0.05, -0.54), (0.05, -0.54), (0, -0.48))), ROSE)]
    parts += [smile(0, -0.46, 0.08, 0.03)]
    return Figure(tuple(parts), head_y=-0.80, head_width=0.36)


def rabbit() -> Figure:
    """Long upright ears and two teeth."""
    parts = (
        *map(coat, pair(0.13, -0.92, 0.10, 0.30)),
        own(circle(0.24, -0.14, 0.10), SNOW_WHITE, outer=True),
        *map(coat, pair(0.14, -0.05, 0.13, 0.07)),
        coat(Ellipse(0, -0.23, 0.23, 0.22)),
        coat(Ellipse(0, -0.55, 0.29, 0.23)),
        *(own(ear, ROSE) for ear in pair(0.13, -0.92, 0.045, 0.21)),
        belly(Ellipse(0, -0.20, 0.13, 0.14)),
        *dot_eyes(0.13, -0.58),
        own(box(-0.05, -0.47, 0.05, -0.38), SNOW_WHITE),
        own(Ellipse(0, -0.50, 0.05, 0.035), ROSE),
    )
    return Figure(parts, head_y=-0.76, head_width=0.30)


def frog() -> Figure:
    """Eyes on top of a wide head, and a wide mouth."""
    parts = (
        *map(coat, pair(0.36, -0.09, 0.17, 0.09)),
        coat(Ellipse(0, -0.24, 0.33, 0.23)),
        *map(coat, pair(0.22, -0.74, 0.15, 0.15)),
        coat(Ellipse(0, -0.52, 0.40, 0.24)),
        belly(Ellipse(0, -0.17, 0.22, 0.14)),
        *round_eyes(0.22, -0.75, 0.10),
        smile(0, -0.50, 0.28, 0.11, 0.045),
    )
    return Figure(parts, head_y=-0.72, head_width=0.26)


def chick() -> Figure:
    """A ball with a beak, a tuft and two thin legs."""
    tuft = ((-0.12, -0.80), (-0.13, -0.98), (0.0, -0.86), (0.10, -1.00), (0.12, -0.80))
    legs = tuple(
        own(Stroke(((s * 0.13, -0.14), (s * 0.13, -0.01), (s * 0.22, -0.01)), 0.055), BEAK)
        for s in (-1, 1)
    )
    parts = (
        *legs,
        coat(Polygon(tuft)),
        coat(Ellipse(0, -0.46, 0.39, 0.37)),
        *map(shade, pair(0.37, -0.42, 0.10, 0.19)),
        belly(Ellipse(0, -0.26, 0.21, 0.14)),
        *dot_eyes(0.17, -0.58, 0.055),
        own(Polygon(((-0.12, -0.50), (0.12, -0.50), (0, -0.34))), BEAK, rim=True),
    )
    return Figure(parts, head_y=-0.80, head_width=0.32)


def robot() -> Figure:
    """Boxes with an antenna."""
    parts = (
        own(Stroke(((0, -0.86), (0, -1.00)), 0.05), INK, outer=True),
        own(circle(0, -1.02, 0.07), (240, 76, 70), outer=True),
        *(shade(box(s * 0.15 - 0.07, -0.14, s * 0.15 + 0.07, 0.0)) for s in (-1, 1)),
        *(shade(box(s * 0.36 - 0.07, -0.46, s * 0.36 + 0.07, -0.18)) for s in (-1, 1)),
        coat(box(-0.28, -0.50, 0.28, -0.10)),
        coat(box(-0.33, -0.90, 0.33, -0.48)),
        own(Stroke(((-0.31, -0.48), (0.31, -0.48)), 0.04), INK),
        belly(box(-0.16, -0.38, 0.16, -0.20)),
        *round_eyes(0.16, -0.74, 0.10),
        own(box(-0.17, -0.59, 0.17, -0.535), INK),
    )
    return Figure(parts, head_y=-0.88, head_width=0.36)


def elephant() -> Figure:
    """Huge ears and a trunk."""
    trunk = curve(((0, -0.54), (0.0, -0.34), (0.07, -0.22), (0.20, -0.24)))
    parts = (
        *map(coat, pair(0.37, -0.64, 0.23, 0.27)),
        *(own(ear, ROSE) for ear in pair(0.39, -0.63, 0.14, 0.18)),
        *map(coat, pair(0.17, -0.07, 0.13, 0.10)),
        coat(Ellipse(0, -0.27, 0.29, 0.24)),
        coat(Ellipse(0, -0.66, 0.28, 0.27)),
        *(
            own(Polygon(((s * 0.10, -0.45), (s * 0.19, -0.45), (s * 0.17, -0.31))), SNOW_WHITE)
            for s in (-1, 1)
        ),
        Part(Stroke(trunk, 0.14), rim=True),
        *dot_eyes(0.15, -0.68),
    )
    return Figure(parts, head_y=-0.90, head_width=0.34)


def octopus() -> Figure:
    """A tall dome on curling arms."""
    arms = tuple(
        coat(Stroke(curve(((x * 0.4, -0.40), (x * 0.75, -0.20), (x, -0.05), (end, -0.10))), 0.12))
        for x, end in ((-0.40, -0.54), (-0.15, -0.26), (0.15, 0.26), (0.40, 0.54))
    )
    parts = (
        *arms,
        coat(Ellipse(0, -0.64, 0.34, 0.36)),
        coat(Ellipse(0, -0.42, 0.26, 0.16)),
        *round_eyes(0.14, -0.62, 0.10),
        *(own(cheek, ROSE) for cheek in pair(0.24, -0.48, 0.05, 0.035)),
        smile(0, -0.46, 0.09, 0.05),
    )
    return Figure(parts, head_y=-0.96, head_width=0.34)


FIGURES: dict[str, Callable[[], Figure]] = {
    "bear": bear,
    "cat": cat,
    "rabbit": rabbit,
    "frog": frog,
    "chick": chick,
    "robot": robot,
    "elephant": elephant,
    "octopus": octopus,
    "snail": snail,
    "ghost": ghost,
    "owl": owl,
}
