"""What a face says: painted over the eyes and mouth that a figure has."""

from __future__ import annotations

from training.storybook.world.figures import INK, ROSE, SNOW_WHITE, Figure, Part, Role, own
from training.storybook.world.shapes import Ellipse, Stroke, circle

TEAR = (112, 190, 246)
LARGEST_EYE = 0.14  # a wider ellipse in the same colours is a beak, a mouth or a belly


def eyes_of(figure: Figure) -> tuple[Ellipse, ...]:
    """Return the figure's eyes, the left one first; found as the first pair of small ellipses."""
    found = [
        part.shape
        for part in figure.parts
        if part.role is Role.OWN
        and part.colour in (INK, SNOW_WHITE)
        and isinstance(part.shape, Ellipse)
        and part.shape.radius_x < LARGEST_EYE
    ]
    for i, left in enumerate(found):
        for right in found[i + 1 :]:
            if left.y == right.y and left.radius_y == right.radius_y and left.x < right.x:
                return left, right
    return ()


def expression_parts(figure: Figure, expression: str) -> tuple[Part, ...]:
    """Return the parts that an expression adds; none to a figure without a pair of eyes."""
    eyes = eyes_of(figure)
    if not eyes or expression == "plain":
        return ()
    left, right = eyes
    match expression:
        case "happy":
            return tuple(
                own(Ellipse(x, left.y + 0.13, 0.06, 0.035), ROSE)
                for x in (left.x - 0.06, right.x + 0.06)
            )
        case "sad":
            tear = own(Ellipse(right.x + 0.03, right.y + 0.13, 0.035, 0.055), TEAR, rim=True)
            return (*_brows(left, right, inner=-0.05), tear)
        case "angry":
            return _brows(left, right, inner=0.05)
        case "surprised":
            middle = (left.x + right.x) / 2
            return (
                own(circle(middle, left.y + 0.19, 0.06), INK),
                *_brows(left, right, inner=0.0),
            )
        case _:
            raise ValueError(f"no expression '{expression}'")


def closed_eyes(figure: Figure) -> tuple[Part, ...]:
    """Return lids over the eyes, in the coat's colour, with a line for the lashes."""
    parts: list[Part] = []
    for eye in eyes_of(figure):
        radius_x, radius_y = max(eye.radius_x, 0.06) * 1.15, max(eye.radius_y, 0.06) * 1.15
        lashes = tuple(
            (eye.x + t * radius_x, eye.y + 0.3 * radius_y * (1 - t * t)) for t in (-1.0, 0.0, 1.0)
        )
        parts += [
            Part(Ellipse(eye.x, eye.y, radius_x, radius_y), Role.SHADE),
            own(Stroke(lashes, 0.03), INK),
        ]
    return tuple(parts)


def _brows(left: Ellipse, right: Ellipse, inner: float) -> tuple[Part, ...]:
    """Return two brows whose inner ends are `inner` lower than the middle."""
    brows = []
    for eye, side in ((left, 1), (right, -1)):
        y = eye.y - eye.radius_y - 0.05
        ends = ((eye.x - side * 0.07, y - inner), (eye.x + side * 0.07, y + inner))
        brows.append(own(Stroke(ends, 0.04), INK))
    return tuple(brows)
