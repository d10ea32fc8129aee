"""Anti-aliased drawing: shapes are painted four times too large and averaged down."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from training.storybook.world.shapes import Ellipse, Point, Polygon, Shape, Stroke
from training.storybook.world.vocabulary import Colour

OVERSAMPLING = 4
UNITS = 100.0  # the short side


@dataclass(frozen=True)
class Canvas:
    """A picture being painted. `width` and `height` are in units, see `shapes`."""

    image: Image.Image
    scale: float  # painted pixels for one unit
    width: float
    height: float

    @classmethod
    def blank(cls, width: int, height: int, mode: str = "RGB") -> Canvas:
        """Return an empty canvas for a picture of `width` x `height` pixels."""
        short = min(width, height)
        image = Image.new(mode, (width * OVERSAMPLING, height * OVERSAMPLING))
        units = UNITS / short
        return cls(image, OVERSAMPLING * short / UNITS, width * units, height * units)

    @classmethod
    def over(cls, picture: Image.Image) -> Canvas:
        """Return a canvas that already shows `picture`, to paint on."""
        canvas = cls.blank(picture.width, picture.height, picture.mode)
        canvas.image.paste(picture.resize(canvas.image.size, Image.Resampling.NEAREST))
        return canvas

    def paint(self, shape: Shape, fill: Colour | int, grow: float = 0.0) -> None:
        """Paint `shape`, made fatter by `grow` units on every side."""
        draw = ImageDraw.Draw(self.image)
        match shape:
            case Ellipse():
                draw.ellipse(self._bounds(shape, grow), fill=fill)
            case Polygon():
                draw.polygon([self._pixel(p) for p in shape.points], fill=fill)
                if grow:
                    self._line(draw, (*shape.points, shape.points[0]), 2 * grow, fill)
            case Stroke():
                self._line(draw, shape.points, shape.width + 2 * grow, fill)

    def gradient(self, top: Colour, bottom: Colour, until: float) -> None:
        """Fill from the upper edge down to `until` units with a vertical change of colour."""
        column = Image.new("RGB", (1, 2))
        column.putpixel((0, 0), top)
        column.putpixel((0, 1), bottom)
        rows = max(1, round(until * self.scale))
        # The middle half of an enlarged pair runs from one colour to the other.
        ramp = column.resize((1, 2 * rows), Image.Resampling.BILINEAR)
        ramp = ramp.crop((0, rows // 2, 1, rows // 2 + rows))
        self.image.paste(ramp.resize((self.image.width, rows)), (0, 0))

    def finished(self) -> Image.Image:
        """Return the picture in its own size."""
        return self.image.reduce(OVERSAMPLING)

    def _pixel(self, point: Point) -> Point:
        return (point[0] * self.scale, point[1] * self.scale)

    def _bounds(self, shape: Ellipse, grow: float) -> tuple[float, float, float, float]:
        rx, ry = shape.radius_x + grow, shape.radius_y + grow
        left, top = self._pixel((shape.x - rx, shape.y - ry))
        right, bottom = self._pixel((shape.x + rx, shape.y + ry))
        return (left, top, right, bottom)

    def _line(
        self, draw: ImageDraw.ImageDraw, points: tuple[Point, ...], width: float, fill: Colour | int
    ) -> None:
        pixels = [self._pixel(p) for p in points]
        thick = max(1, round(width * self.scale))
        draw.line(pixels, fill=fill, width=thick)
        radius = thick / 2
        for x, y in pixels:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
