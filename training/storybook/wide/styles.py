"""Four styles more: pencil, pixel, night-lights and paper cut, each with brush and finish."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from training.storybook.world.brush import PAPER, WHITE, Brush, darker, finish, mixed
from training.storybook.world.shapes import Shape
from training.storybook.world.vocabulary import Colour

GRAPHITE: Colour = (88, 86, 94)
NIGHT: Colour = (16, 12, 40)
PIXELS = 48  # of a pixel picture's short side
LEVELS = 6  # of each channel in a pixel picture


@dataclass(frozen=True)
class WideBrush(Brush):
    """A brush that knows the wider world's styles as well as the first three."""

    def thing(self, *shapes: Shape, colour: Colour) -> None:
        """Paint one thing of the setting, with what this style draws around it."""
        lines = {"pencil": (mixed(GRAPHITE, PAPER, 0.4), 0.8), "paper cut": (WHITE, 1.2)}
        if self.style in lines:
            line, width = lines[self.style]
            for shape in shapes:
                self.canvas.paint(shape, line, grow=width)
            for shape in shapes:
                self.canvas.paint(shape, self.faded(colour))
            return
        super().thing(*shapes, colour=colour)

    def contour(self, colour: Colour) -> tuple[Colour, float]:
        """Return the colour and width of the line around a character of this colour."""
        match self.style:
            case "pencil":
                return GRAPHITE, 1.3
            case "pixel":
                return darker(colour, 0.65), 2.2
            case "night-lights":
                return mixed(colour, WHITE, 0.55), 1.6
            case "paper cut":
                return WHITE, 2.4
            case _:
                return super().contour(colour)

    def faded(self, colour: Colour) -> Colour:
        """Return the colour of a background in this style."""
        match self.style:
            case "pencil":
                return mixed(colour, PAPER, 0.62)
            case "night-lights":
                return mixed(colour, NIGHT, 0.72)
            case "paper cut":
                return mixed(colour, PAPER, 0.18)
            case _:
                return super().faded(colour)

    def tinted(self, colour: Colour) -> Colour:
        """Return the colour of a character in this style."""
        match self.style:
            case "pencil":
                return mixed(colour, PAPER, 0.22)
            case "night-lights":
                return mixed(colour, NIGHT, 0.12)
            case _:
                return super().tinted(colour)


def finished(image: Image.Image, style: str, generator: random.Random) -> Image.Image:
    """Return the picture with what its style does last."""
    match style:
        case "pencil":
            return _hatched(image, generator)
        case "pixel":
            return _pixelated(image)
        case "night-lights":
            return _glowing(image)
        case _:
            return finish(image, style, generator)


def shadow(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Return a paper cut's picture with the shadow of the sheet that `mask` cuts out."""
    shift = max(1, image.height // 42)
    moved = Image.new("L", mask.size)
    moved.paste(mask, (shift, shift))
    soft = moved.filter(ImageFilter.GaussianBlur(image.height / 90)).point(lambda v: v * 0.4)
    return Image.composite(Image.new("RGB", image.size, (40, 34, 48)), image, soft)


def _hatched(image: Image.Image, generator: random.Random) -> Image.Image:
    """Lay diagonal strokes over the picture, more where it is dark."""
    pixels = np.asarray(image, dtype=np.float32)
    source = np.random.default_rng(generator.getrandbits(32))
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    waves = np.sin((rows + columns) * (180 / min(height, width)) + source.normal(0, 0.5))
    dark = 1 - pixels.mean(axis=2) / 255
    strokes = np.clip(waves, 0, 1) * (0.06 + 0.22 * dark)
    grain = source.normal(0, 3.0, (height, width))
    drawn = pixels * (1 - strokes[..., None]) + grain[..., None]
    return Image.fromarray(np.clip(drawn, 0, 255).round().astype(np.uint8))


def _pixelated(image: Image.Image) -> Image.Image:
    """Draw the picture with few pixels of few colours."""
    factor = PIXELS / min(image.size)
    small = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    coarse = np.asarray(image.resize(small, Image.Resampling.BOX), dtype=np.float32)
    step = 255 / (LEVELS - 1)
    few = (coarse / step).round() * step
    return Image.fromarray(few.astype(np.uint8)).resize(image.size, Image.Resampling.NEAREST)


def _glowing(image: Image.Image) -> Image.Image:
    """Let what is bright shine over its edges."""
    pixels = np.asarray(image, dtype=np.float32)
    bright = np.clip(pixels - 90, 0, None)
    light = Image.fromarray(bright.astype(np.uint8))
    halo = light.filter(ImageFilter.GaussianBlur(image.height / 24))
    lit = 255 - (255 - pixels) * (255 - 0.9 * np.asarray(halo, dtype=np.float32)) / 255
    return Image.fromarray(np.clip(lit, 0, 255).round().astype(np.uint8))
