"""Four places more; each is known by colour alone as well as by its things."""

from __future__ import annotations

import random
from collections.abc import Callable

from training.storybook.world.brush import Brush
from training.storybook.world.settings import PAINTERS as FIRST
from training.storybook.world.shapes import Ellipse, Polygon, Stroke, box, circle
from training.storybook.world.vocabulary import Colour


def farm(brush: Brush, generator: random.Random) -> None:
    """A red barn behind a fence, on a field of wheat."""
    y = 60 + generator.uniform(-3, 3)
    brush.sky((150, 206, 240), (222, 240, 250), y)
    x = _aside(brush, generator)
    roof = Polygon(((x - 20, y - 18), (x, y - 36), (x + 20, y - 18)))
    brush.thing(box(x - 17, y - 19, x + 17, y + 2), colour=(186, 58, 50))
    brush.thing(roof, colour=(120, 66, 54))
    brush.ground(box(x - 6, y - 10, x + 6, y + 2), (246, 240, 230))
    _floor(brush, y, (226, 186, 84))
    for i in range(int(brush.canvas.width // 14) + 1):
        brush.ground(box(i * 14 + 4, y - 3, i * 14 + 7, y + 12), (250, 246, 236))
    brush.ground(box(0, y + 2, brush.canvas.width, y + 5), (250, 246, 236))


def castle(brush: Brush, generator: random.Random) -> None:
    """Grey walls with two towers and flags, over a green hill."""
    y = 62 + generator.uniform(-3, 3)
    brush.sky((186, 210, 246), (240, 232, 250), y)
    x = _aside(brush, generator)
    stone = (170, 166, 184)
    brush.thing(box(x - 20, y - 26, x + 20, y + 3), colour=stone)
    for side in (-20, 20):
        brush.thing(box(x + side - 6, y - 42, x + side + 6, y + 3), colour=stone)
        roof = ((x + side - 8, y - 42), (x + side, y - 56), (x + side + 8, y - 42))
        brush.thing(Polygon(roof), colour=(112, 76, 168))
    brush.ground(circle(x, y - 6, 6), (92, 66, 60))
    brush.ground(box(x - 6, y - 6, x + 6, y + 3), (92, 66, 60))
    _floor(brush, y, (112, 158, 92))


def kitchen(brush: Brush, generator: random.Random) -> None:
    """Yellow tiles, a shelf with pots and a chequered floor."""
    y = 66 + generator.uniform(-3, 3)
    brush.sky((252, 234, 170), (252, 226, 150), y)
    for i in range(int(brush.canvas.width // 16) + 1):
        brush.ground(box(i * 16, 0, i * 16 + 1.2, y), (238, 206, 120))
    for row in (14, 30, 46):
        brush.ground(box(0, row, brush.canvas.width, row + 1.2), (238, 206, 120))
    x = _aside(brush, generator)
    brush.thing(box(x - 22, 30, x + 22, 33), colour=(150, 102, 66))
    for dx, colour in ((-14, (82, 140, 200)), (0, (216, 92, 78)), (14, (108, 172, 118))):
        brush.thing(box(x + dx - 5, 20, x + dx + 5, 30), colour=colour)
    _floor(brush, y, (236, 238, 242))
    for i in range(int(brush.canvas.width // 12) + 1):
        for row in range(3):
            if (i + row) % 2:
                left, top = i * 12, y + row * 12
                brush.ground(box(left, top, left + 12, top + 12), (118, 166, 176))


def cave(brush: Brush, generator: random.Random) -> None:
    """Dark rock with hanging stones and shining crystals."""
    y = 72 + generator.uniform(-3, 3)
    brush.sky((70, 58, 66), (46, 38, 48), y)
    for i in range(int(brush.canvas.width // 16) + 1):
        x, long = i * 16 + generator.uniform(0, 8), generator.uniform(12, 30)
        brush.ground(Polygon(((x - 7, 0), (x + 7, 0), (x, long))), (96, 80, 88))
    _floor(brush, y, (88, 74, 80))
    for x in (6 + generator.uniform(0, 8), brush.canvas.width - 6 - generator.uniform(0, 8)):
        for dx, tall in ((-4, 14), (2, 20), (6, 11)):
            crystal = ((x + dx - 3, y + 6), (x + dx, y + 6 - tall), (x + dx + 3, y + 6))
            brush.thing(Polygon(crystal), colour=(92, 226, 214))
    puddle = Ellipse(brush.canvas.width * 0.5, y + 20, 22, 4)
    brush.ground(puddle, (62, 84, 110))
    brush.ground(Stroke(((puddle.x - 10, y + 19), (puddle.x + 4, y + 19)), 1), (120, 150, 176))


def _aside(brush: Brush, generator: random.Random) -> float:
    """Return where a large thing stands: left or right of the middle."""
    return brush.canvas.width * generator.choice((0.24, 0.76)) + generator.uniform(-3, 3)


def _floor(brush: Brush, y: float, colour: Colour) -> None:
    brush.ground(box(0, y, brush.canvas.width, brush.canvas.height), colour)


PAINTERS: dict[str, Callable[[Brush, random.Random], None]] = FIRST | {
    "farm": farm,
    "castle": castle,
    "kitchen": kitchen,
    "cave": cave,
}
