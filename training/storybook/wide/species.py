"""The characters that the wider world adds, and the two more that it keeps out of base training."""

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
from training.storybook.world.shapes import Ellipse, Polygon, Stroke, box, circle, curve
from training.storybook.world.species import FIGURES as FIRST

SIDES = (-1, 1)
FACE_GREY = (72, 66, 78)


def fox() -> Figure:
    """A long snout, big pointed ears and a bushy tail with a white tip."""
    tail = curve(((0.15, -0.10), (0.42, -0.12), (0.50, -0.34)))
    ears = tuple(
        coat(Polygon(((s * 0.36, -1.04), (s * 0.06, -0.84), (s * 0.34, -0.60)))) for s in SIDES
    )
    parts = (
        coat(Stroke(tail, 0.17)),
        own(circle(0.50, -0.38, 0.085), SNOW_WHITE, outer=True),
        *ears,
        coat(Ellipse(0, -0.24, 0.22, 0.24)),
        coat(Polygon(((-0.36, -0.72), (0.36, -0.72), (0.10, -0.42), (-0.10, -0.42)))),
        coat(Ellipse(0, -0.72, 0.33, 0.17)),
        belly(Polygon(((-0.20, -0.60), (0.20, -0.60), (0.07, -0.43), (-0.07, -0.43)))),
        belly(Ellipse(0, -0.18, 0.12, 0.15)),
        *dot_eyes(0.16, -0.70),
        own(circle(0, -0.44, 0.055), INK),
    )
    return Figure(parts, head_y=-0.86, head_width=0.34)


def penguin() -> Figure:
    """A dark coat over a white front, flippers and an orange beak."""
    parts = (
        *(own(foot, BEAK, outer=True) for foot in pair(0.15, -0.03, 0.13, 0.05)),
        *(coat(Polygon(((s * 0.28, -0.62), (s * 0.48, -0.24), (s * 0.26, -0.32)))) for s in SIDES),
        coat(Ellipse(0, -0.48, 0.33, 0.46)),
        own(Ellipse(0, -0.34, 0.22, 0.30), SNOW_WHITE),
        *(own(disc, SNOW_WHITE) for disc in pair(0.11, -0.68, 0.12, 0.13)),
        *dot_eyes(0.11, -0.69, 0.05),
        own(Polygon(((-0.08, -0.60), (0.08, -0.60), (0, -0.50))), BEAK, rim=True),
    )
    return Figure(parts, head_y=-0.88, head_width=0.32)


def mouse() -> Figure:
    """Round ears as large as its head, and a thin curled tail."""
    tail = curve(((0.14, -0.08), (0.40, -0.04), (0.50, -0.20), (0.40, -0.30)))
    parts = (
        own(Stroke(tail, 0.045), ROSE, outer=True),
        *map(coat, pair(0.30, -0.84, 0.21, 0.21)),
        *(own(ear, ROSE) for ear in pair(0.30, -0.84, 0.13, 0.13)),
        coat(Ellipse(0, -0.22, 0.20, 0.22)),
        coat(Ellipse(0, -0.56, 0.28, 0.23)),
        belly(Ellipse(0, -0.18, 0.11, 0.14)),
        *dot_eyes(0.12, -0.60),
        own(circle(0, -0.50, 0.05), ROSE),
        smile(0, -0.44, 0.07, 0.03),
    )
    return Figure(parts, head_y=-0.76, head_width=0.30)


def pig() -> Figure:
    """A flat snout with two holes and folded ears."""
    ears = tuple(
        shade(Polygon(((s * 0.34, -0.96), (s * 0.08, -0.86), (s * 0.30, -0.70)))) for s in SIDES
    )
    parts = (
        *map(coat, pair(0.17, -0.06, 0.11, 0.09)),
        coat(Ellipse(0, -0.28, 0.31, 0.25)),
        coat(Ellipse(0, -0.64, 0.33, 0.28)),
        *ears,
        *dot_eyes(0.17, -0.70),
        Part(Ellipse(0, -0.56, 0.15, 0.11), rim=True),
        *(own(hole, INK) for hole in pair(0.055, -0.56, 0.03, 0.045)),
        smile(0, -0.42, 0.10, 0.03),
    )
    return Figure(parts, head_y=-0.88, head_width=0.34)


def dragon() -> Figure:
    """Wings, a row of spikes and two horns."""
    wings = tuple(
        shade(Polygon(((s * 0.14, -0.46), (s * 0.56, -0.74), (s * 0.52, -0.36), (s * 0.36, -0.40))))
        for s in SIDES
    )
    horns = tuple(
        own(Polygon(((s * 0.08, -0.86), (s * 0.24, -0.82), (s * 0.24, -1.06))), BEAK, outer=True)
        for s in SIDES
    )
    tail = curve(((-0.1, -0.08), (-0.38, -0.06), (-0.52, -0.22)))
    parts = (
        *wings,
        coat(Stroke(tail, 0.11)),
        shade(Polygon(((-0.62, -0.22), (-0.46, -0.14), (-0.50, -0.36)))),
        *horns,
        coat(Ellipse(0, -0.26, 0.25, 0.26)),
        coat(Ellipse(0, -0.68, 0.27, 0.22)),
        coat(Ellipse(0, -0.56, 0.23, 0.13)),
        *(belly(Ellipse(0, y, w, 0.05)) for y, w in ((-0.34, 0.12), (-0.23, 0.15), (-0.12, 0.13))),
        *round_eyes(0.13, -0.74, 0.08),
        *(own(hole, INK) for hole in pair(0.07, -0.57, 0.025, 0.03)),
    )
    return Figure(parts, head_y=-0.88, head_width=0.30)


def turtle() -> Figure:
    """A tall domed shell, and a head that looks out at the side."""
    shell = tuple(
        shade(Polygon(((x - 0.08, y + 0.06), (x, y - 0.10), (x + 0.08, y + 0.06))))
        for x, y in ((-0.24, -0.34), (0.0, -0.52), (0.12, -0.30))
    )
    parts = (
        *(coat(Ellipse(x, -0.07, 0.11, 0.08)) for x in (-0.28, 0.20)),
        coat(Stroke(((0.26, -0.22), (0.36, -0.56)), 0.16)),
        coat(Ellipse(0.38, -0.64, 0.17, 0.15)),
        own(Ellipse(-0.04, -0.38, 0.42, 0.32), (126, 92, 58), outer=True),
        *(own(part.shape, (168, 128, 82)) for part in shell),
        coat(Ellipse(-0.04, -0.13, 0.42, 0.07)),
        own(circle(0.32, -0.68, 0.045), INK),
        own(circle(0.45, -0.68, 0.045), INK),
        smile(0.39, -0.57, 0.07, 0.03),
    )
    return Figure(parts, head_y=-0.76, head_width=0.22, head_x=0.38)


def bee() -> Figure:
    """A striped ball with wings and feelers, a little above the ground."""
    feelers = tuple(
        own(Stroke(((s * 0.08, -0.80), (s * 0.20, -1.00)), 0.04), INK, outer=True) for s in SIDES
    )
    parts = (
        *(own(wing, (222, 240, 255), outer=True) for wing in pair(0.36, -0.70, 0.20, 0.14)),
        *feelers,
        own(Polygon(((-0.06, -0.16), (0.06, -0.16), (0, -0.02))), INK, outer=True),
        coat(Ellipse(0, -0.48, 0.36, 0.36)),
        own(Stroke(((-0.26, -0.34), (0.26, -0.34)), 0.075), INK),
        own(Stroke(((-0.18, -0.21), (0.18, -0.21)), 0.06), INK),
        *round_eyes(0.14, -0.60, 0.09),
        smile(0, -0.46, 0.10, 0.04),
    )
    return Figure(parts, head_y=-0.80, head_width=0.30)


def sheep() -> Figure:
    """A cloud of wool around a dark face."""
    wool = tuple(
        coat(circle(x, y, 0.16))
        for x, y in (
            (-0.26, -0.30),
            (0.26, -0.30),
            (-0.30, -0.52),
            (0.30, -0.52),
            (-0.18, -0.72),
            (0.18, -0.72),
            (0, -0.80),
        )
    )
    parts = (
        *(own(box(x - 0.05, -0.18, x + 0.05, 0.0), FACE_GREY, outer=True) for x in (-0.15, 0.15)),
        *wool,
        coat(Ellipse(0, -0.46, 0.32, 0.32)),
        *(own(ear, FACE_GREY, rim=True) for ear in pair(0.26, -0.60, 0.09, 0.05)),
        own(Ellipse(0, -0.54, 0.19, 0.21), FACE_GREY, rim=True),
        *round_eyes(0.08, -0.59, 0.06),
        own(Ellipse(0, -0.42, 0.05, 0.03), ROSE),
    )
    return Figure(parts, head_y=-0.88, head_width=0.30)


def crab() -> Figure:
    """A wide shell, two claws held up, eyes on stalks. Held out."""
    legs = tuple(
        shade(Stroke(((s * x, -0.24), (s * (x + 0.12), -0.02)), 0.06))
        for s in SIDES
        for x in (0.12, 0.24, 0.36)
    )
    claws = tuple(
        part
        for s in SIDES
        for part in (
            coat(Stroke(((s * 0.34, -0.36), (s * 0.50, -0.56)), 0.09)),
            coat(circle(s * 0.50, -0.68, 0.13)),
            own(Polygon(((s * 0.50, -0.66), (s * 0.44, -0.84), (s * 0.56, -0.84))), INK),
        )
    )
    parts = (
        *legs,
        *claws,
        *(coat(Stroke(((s * 0.12, -0.45), (s * 0.14, -0.66)), 0.06)) for s in SIDES),
        coat(Ellipse(0, -0.34, 0.42, 0.22)),
        *round_eyes(0.14, -0.70, 0.08),
        smile(0, -0.32, 0.14, 0.06),
    )
    return Figure(parts, head_y=-0.52, head_width=0.24)


def mushroom() -> Figure:
    """A pale stem with a face under a wide spotted cap. Held out."""
    cap = ((-0.46, -0.52), (-0.36, -0.84), (0.0, -1.0), (0.36, -0.84), (0.46, -0.52))
    parts = (
        own(Ellipse(0, -0.24, 0.22, 0.24), (246, 234, 208), outer=True),
        own(box(-0.19, -0.60, 0.19, -0.24), (246, 234, 208), outer=True),
        coat(Polygon(curve(cap))),
        *(
            own(circle(x, y, r), SNOW_WHITE)
            for x, y, r in ((-0.22, -0.70, 0.075), (0.04, -0.84, 0.08), (0.25, -0.66, 0.06))
        ),
        *dot_eyes(0.10, -0.40),
        smile(0, -0.28, 0.08, 0.04),
    )
    return Figure(parts, head_y=-0.96, head_width=0.30)


FIGURES: dict[str, Callable[[], Figure]] = FIRST | {
    "fox": fox,
    "penguin": penguin,
    "mouse": mouse,
    "pig": pig,
    "dragon": dragon,
    "turtle": turtle,
    "bee": bee,
    "sheep": sheep,
    "crab": crab,
    "mushroom": mushroom,
}
