"""A brush paints shapes the way a style asks: its palette, its contours, its finish."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from training.storybook.world.canvas import Canvas
from training.storybook.world.figures import INK
from training.storybook.world.shapes import Shape
from training.storybook.world.vocabulary import Colour

PAPER: Colour = (252, 247, 234)
WHITE: Colour = (255, 255, 255)


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """Return `a` with `share` (0 to 1) of it replaced by `b`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return (red, green, blue)


def darker(colour: Colour, share: float) -> Colour:
    """Return `colour` moved towards a warm black."""
    return mixed(colour, (24, 16, 28), share)


@dataclass(frozen=True)
class Brush:
    """A canvas together with the style it is painted in."""

    canvas: Canvas
    style: str

    def sky(self, top: Colour, bottom: Colour, until: float) -> None:
        """Paint the picture's background from its upper edge down to `until`."""
        self.canvas.gradient(self.faded(top), self.faded(bottom), until)

    def ground(self, shape: Shape, colour: Colour) -> None:
        """Paint a large area; it never gets a contour."""
        self.canvas.paint(shape, self.faded(colour))

    def thing(self, *shapes: Shape, colour: Colour) -> None:
        """Paint one thing of the setting, with a thin contour around all its shapes in ink."""
        if self.style == "ink":
            for shape in shapes:
                self.canvas.paint(shape, mixed(INK, PAPER, 0.25), grow=1.0)
        for shape in shapes:
            self.canvas.paint(shape, self.faded(colour))

    def contour(self, colour: Colour) -> tuple[Colour, float]:
        """Return the colour and width of the line around a character of this colour."""
        match self.style:
            case "ink":
                return INK, 2.4
            case "watercolour":
                return self.tinted(darker(colour, 0.3)), 0.9
            case _:
                return darker(colour, 0.5), 1.5

    def faded(self, colour: Colour) -> Colour:
        """Return the colour of a background in this style: paler where paper shows through."""
        match self.style:
            case "ink":
                return mixed(colour, PAPER, 0.45)
            case "watercolour":
                return mixed(colour, WHITE, 0.34)
            case _:
                return colour

    def tinted(self, colour: Colour) -> Colour:
        """Return the colour of a character in this style."""
        return mixed(colour, WHITE, 0.16) if self.style == "watercolour" else colour


def finish(image: Image.Image, style: str, generator: random.Random) -> Image.Image:
    """Return the picture with what its style does last: pigment and paper for watercolour."""
    if style != "watercolour":
        return image
    soft = image.filter(ImageFilter.GaussianBlur(image.height / 128))
    pixels = np.asarray(soft, dtype=np.float32)
    pigment = _blotches(image.size, generator, cells=7)[..., None] * 0.13
    wet = pixels + (pixels - 255.0) * pigment
    edge = _paper_edge(image.size, generator)[..., None]
    paper = np.asarray(WHITE, dtype=np.float32)
    out = wet * edge + paper * (1 - edge)
    return Image.fromarray(np.clip(out, 0, 255).round().astype(np.uint8))


def _blotches(size: tuple[int, int], generator: random.Random, cells: int) -> NDArray[np.float32]:
    """Return smooth noise of (height, width), about -1 to 1."""
    source = np.random.default_rng(generator.getrandbits(32))
    coarse = source.normal(0.0, 0.6, (cells, cells)).astype(np.float32)
    grown = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(grown)


def _paper_edge(size: tuple[int, int], generator: random.Random) -> NDArray[np.float32]:
    """Return how much paint there is, 0 at the irregular border and 1 inside."""
    width, height = size
    x = np.minimum(np.arange(width) + 0.5, width - np.arange(width) - 0.5) / min(size)
    y = np.minimum(np.arange(height) + 0.5, height - np.arange(height) - 0.5) / min(size)
    distance = np.minimum(x[None, :], y[:, None])
    wobble = _blotches(size, generator, cells=9) * 0.025
    return np.asarray(np.clip((distance + wobble - 0.02) / 0.06, 0.0, 1.0), dtype=np.float32)
