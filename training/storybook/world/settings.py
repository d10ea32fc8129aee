"""Where a character stands: few large areas and a handful of bold things."""

from __future__ import annotations

import random
from collections.abc import Callable

from training.storybook.world.brush import Brush
from training.storybook.world.shapes import Ellipse, Polygon, Stroke, box, circle, star
from training.storybook.world.vocabulary import Colour

HORIZON = 0.62  # share of the height


def _horizon(brush: Brush, generator: random.Random) -> float:
    return brush.canvas.height * HORIZON + generator.uniform(-3, 3)


def _below(brush: Brush, y: float, colour: Colour) -> None:
    brush.ground(box(0, y, brush.canvas.width, brush.canvas.height), colour)


def _sides(brush: Brush, generator: random.Random) -> tuple[float, float]:
    """Return two x positions, near the left and the right edge, clear of the middle."""
    return (
        generator.uniform(6, 18),
        brush.canvas.width - generator.uniform(6, 18),
    )


def _corner(brush: Brush, generator: random.Random) -> float:
    return generator.choice((17.0, brush.canvas.width - 17.0))


def _cloud(brush: Brush, x: float, y: float) -> None:
    puffs = (Ellipse(x - 7, y + 1, 6, 4.5), Ellipse(x, y - 2, 7, 6), Ellipse(x + 7, y + 1, 6, 4.5))
    brush.thing(*puffs, colour=(255, 255, 255))


def forest(brush: Brush, generator: random.Random) -> None:
    """Dark fir trees left and right on green ground."""
    y = _horizon(brush, generator)
    brush.sky((196, 228, 210), (150, 204, 160), y)
    _below(brush, y, (86, 140, 66))
    for x in _sides(brush, generator):
        base = y + generator.uniform(0, 5)
        tall = generator.uniform(40, 50)
        brush.thing(box(x - 2.2, base - 8, x + 2.2, base + 4), colour=(104, 68, 40))
        tiers = (
            Polygon(((x, base - tall + k * 11), (x - w, base - k0), (x + w, base - k0)))
            for k, w, k0 in ((0, 9, tall * 0.62), (1, 11.5, tall * 0.34), (2, 14, 6))
        )
        brush.thing(*tiers, colour=(34, 104, 62))


def beach(brush: Brush, generator: random.Random) -> None:
    """A sun over a band of sea, and sand."""
    y = _horizon(brush, generator)
    brush.sky((126, 204, 246), (206, 236, 250), y - 16)
    brush.ground(box(0, y - 16, brush.canvas.width, y + 1), (36, 132, 200))
    _below(brush, y, (246, 220, 154))
    brush.ground(box(0, y - 1.2, brush.canvas.width, y + 1.6), (244, 250, 252))
    brush.thing(circle(_corner(brush, generator), 17, 10), colour=(255, 222, 74))


def desert(brush: Brush, generator: random.Random) -> None:
    """An orange sky, dunes and two cactuses."""
    y = _horizon(brush, generator)
    brush.sky((250, 176, 96), (254, 222, 156), y)
    brush.thing(circle(_corner(brush, generator), 18, 9), colour=(252, 104, 66))
    _below(brush, y, (226, 164, 86))
    for x in _sides(brush, generator):
        base = y + generator.uniform(2, 7)
        arms = (
            Stroke(((x, base), (x, base - 26)), 6.5),
            Stroke(((x, base - 9), (x - 7, base - 9), (x - 7, base - 18)), 4.5),
            Stroke(((x, base - 13), (x + 7, base - 13), (x + 7, base - 22)), 4.5),
        )
        brush.thing(*arms, colour=(56, 132, 74))


def night(brush: Brush, generator: random.Random) -> None:
    """A moon and stars over dark hills."""
    y = _horizon(brush, generator)
    brush.sky((18, 22, 72), (52, 56, 130), y)
    x = _corner(brush, generator)
    brush.thing(circle(x, 18, 10.5), colour=(252, 244, 196))
    for i in range(7):
        at = (i + 0.5 + generator.uniform(-0.3, 0.3)) * brush.canvas.width / 7
        if abs(at - x) > 15:
            brush.ground(star(at, generator.uniform(5, 48), 3.4), (255, 244, 180))
    _below(brush, y, (30, 62, 74))


def snow(brush: Brush, generator: random.Random) -> None:
    """White ground, blue mountains with white tops, falling flakes."""
    y = _horizon(brush, generator)
    brush.sky((168, 194, 226), (220, 232, 244), y)
    for x in _sides(brush, generator):
        top = y - generator.uniform(34, 42)
        brush.thing(Polygon(((x, top), (x - 21, y), (x + 21, y))), colour=(132, 154, 190))
        cap = Polygon(((x, top), (x - 7, top + 13), (x, top + 10), (x + 7, top + 13)))
        brush.ground(cap, (252, 253, 255))
    _below(brush, y, (244, 249, 253))
    for i in range(9):
        at = (i + generator.random()) * brush.canvas.width / 9
        brush.ground(circle(at, generator.uniform(4, 56), 1.7), (255, 255, 255))


def meadow(brush: Brush, generator: random.Random) -> None:
    """Bright grass with flowers under a blue sky with clouds."""
    y = _horizon(brush, generator)
    brush.sky((118, 198, 250), (214, 240, 252), y)
    for x in _sides(brush, generator):
        _cloud(brush, x, generator.uniform(12, 24))
    _below(brush, y, (132, 204, 78))
    petals: tuple[Colour, ...] = ((255, 255, 255), (255, 120, 160), (255, 214, 70))
    for i in range(6):
        x = (i + 0.5 + generator.uniform(-0.3, 0.3)) * brush.canvas.width / 6
        at = generator.uniform(y + 6, brush.canvas.height - 4)
        brush.ground(circle(x, at, 2.6), generator.choice(petals))


def city(brush: Brush, generator: random.Random) -> None:
    """Grey houses with lit windows behind a street."""
    y = _horizon(brush, generator)
    brush.sky((196, 206, 222), (228, 224, 218), y)
    x = -generator.uniform(0, 8)
    while x < brush.canvas.width:
        top = y - generator.uniform(24, 48)
        grey = generator.choice(((112, 118, 140), (136, 138, 154), (96, 104, 128)))
        brush.thing(box(x, top, x + 16, y), colour=grey)
        for row in range(int((y - top - 4) // 9)):
            for column in (3.0, 9.5):
                left, up = x + column, top + 4 + row * 9
                brush.ground(box(left, up, left + 3.6, up + 4.6), (255, 230, 128))
        x += 17.5
    _below(brush, y, (98, 98, 108))
    for i in range(4):
        left = (i + 0.2) * brush.canvas.width / 4
        brush.ground(box(left, y + 20, left + 14, y + 23), (240, 240, 226))


def sea(brush: Brush, generator: random.Random) -> None:
    """Under water: bubbles, weed and a sandy floor."""
    floor = brush.canvas.height * 0.84 + generator.uniform(-2, 2)
    brush.sky((52, 172, 216), (16, 84, 156), brush.canvas.height)
    _below(brush, floor, (214, 194, 136))
    for x in _sides(brush, generator):
        points = tuple((x + (3.5 if k % 2 else -3.5), floor + 2 - k * 9) for k in range(5))
        brush.thing(Stroke(points, 5), colour=(40, 158, 96))
    for i in range(5):
        at = (i + generator.random()) * brush.canvas.width / 5
        brush.ground(circle(at, generator.uniform(5, 40), 2.6), (176, 226, 244))


def space(brush: Brush, generator: random.Random) -> None:
    """A ringed planet and small stars over grey moon ground."""
    y = _horizon(brush, generator) + 6
    brush.sky((22, 10, 40), (62, 24, 84), y)
    for i in range(8):
        at = (i + generator.random()) * brush.canvas.width / 8
        brush.ground(circle(at, generator.uniform(4, 54), 1.5), (240, 236, 255))
    x, up = _corner(brush, generator), 20.0
    brush.thing(circle(x, up, 9), colour=(240, 150, 84))
    brush.ground(Stroke(((x - 14, up + 4), (x + 14, up - 4)), 2.4), (252, 214, 150))
    _below(brush, y, (158, 156, 172))
    for x in _sides(brush, generator):
        brush.ground(Ellipse(x, y + generator.uniform(10, 24), 8, 3.4), (122, 120, 140))


def bedroom(brush: Brush, generator: random.Random) -> None:
    """A papered wall with a window, a wooden floor and a rug."""
    y = _horizon(brush, generator) + 4
    brush.sky((250, 216, 206), (250, 216, 206), y)
    stripes = int(brush.canvas.width // 12) + 1
    for i in range(stripes):
        brush.ground(box(i * 12, 0, i * 12 + 5, y), (244, 196, 186))
    x = _corner(brush, generator)
    brush.thing(box(x - 12, 9, x + 12, 37), colour=(255, 255, 255))
    brush.ground(box(x - 9, 12, x + 9, 34), (132, 200, 244))
    brush.ground(box(x - 1.2, 12, x + 1.2, 34), (255, 255, 255))
    brush.ground(box(x - 9, 21.8, x + 9, 24.2), (255, 255, 255))
    _below(brush, y, (190, 132, 84))
    rug = Ellipse(brush.canvas.width / 2, brush.canvas.height - 10, 34, 7)
    brush.ground(rug, (104, 148, 196))


PAINTERS: dict[str, Callable[[Brush, random.Random], None]] = {
    "forest": forest,
    "beach": beach,
    "desert": desert,
    "night": night,
    "snow": snow,
    "meadow": meadow,
    "city": city,
    "sea": sea,
    "space": space,
    "bedroom": bedroom,
}
