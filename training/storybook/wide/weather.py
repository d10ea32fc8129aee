"""Hour and weather, laid over a setting that has a sky."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw

from training.storybook.world.vocabulary import Colour

# Colour that is laid over everything, at the upper and at the lower edge, and how much of it.
HOURS: dict[str, tuple[Colour, Colour, float]] = {
    "sunset": ((244, 96, 60), (255, 176, 84), 0.42),
    "night": ((10, 14, 58), (24, 28, 74), 0.66),
}
# The hour shows on a character less than on the land, so that its own colour can still be told.
ON_CHARACTERS = 0.35
FOG: Colour = (228, 230, 236)
SPARKS = 26  # stars of a night, drops and flakes are counted from it


def hour(image: Image.Image, time: str, generator: random.Random) -> Image.Image:
    """Return the empty setting at this time of day."""
    if time not in HOURS:
        return image
    lit = _tinted(image, time, 1.0)
    if time == "night":
        _stars(lit, generator)
    return lit


def hour_on_characters(image: Image.Image, time: str) -> Image.Image:
    """Return a picture of characters, tinted by the hour only as far as their colours allow."""
    return _tinted(image, time, ON_CHARACTERS) if time in HOURS else image


def weather(image: Image.Image, kind: str, generator: random.Random) -> Image.Image:
    """Return the finished scene with rain or snow falling before it, or fog lying on it."""
    match kind:
        case "rain":
            return _rain(image, generator)
        case "snowfall":
            return _snow(image, generator)
        case "fog":
            return _fog(image)
        case _:
            return image


def _tinted(image: Image.Image, time: str, strength: float) -> Image.Image:
    top, bottom, share = HOURS[time]
    pixels = np.asarray(image, dtype=np.float32)
    rows = np.linspace(0, 1, pixels.shape[0], dtype=np.float32)[:, None, None]
    upper, lower = (np.asarray(colour, dtype=np.float32) for colour in (top, bottom))
    tint = upper * (1 - rows) + lower * rows
    # A sky takes the colour on; what stands before it is rather darkened by it.
    mixed = pixels * (1 - share * strength) + tint * share * strength
    return Image.fromarray(np.clip(mixed, 0, 255).round().astype(np.uint8))


def _stars(image: Image.Image, generator: random.Random) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(SPARKS):
        x = generator.uniform(0, image.width)
        y = generator.uniform(0, image.height * 0.45)
        draw.rectangle((x, y, x, y), fill=(236, 236, 255))


def _rain(image: Image.Image, generator: random.Random) -> Image.Image:
    wet = Image.blend(image, Image.new("RGB", image.size, (96, 110, 140)), 0.22)
    draw = ImageDraw.Draw(wet, "RGBA")
    length = image.height / 9
    for _ in range(SPARKS * 2):
        x, y = generator.uniform(0, image.width), generator.uniform(-length, image.height)
        draw.line((x, y, x - length * 0.3, y + length), fill=(214, 230, 255, 190))
    return wet


def _snow(image: Image.Image, generator: random.Random) -> Image.Image:
    white = image.copy()
    draw = ImageDraw.Draw(white)
    for _ in range(SPARKS * 2):
        x, y = generator.uniform(0, image.width), generator.uniform(0, image.height)
        radius = generator.uniform(0.004, 0.011) * image.height
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 255, 255))
    return white


def _fog(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    rows = np.linspace(0, 1, pixels.shape[0], dtype=np.float32)
    thick = (0.50 - 0.34 * np.abs(rows - 0.45) / 0.55)[:, None, None]
    fogged = pixels * (1 - thick) + np.asarray(FOG, dtype=np.float32) * thick
    return Image.fromarray(np.clip(fogged, 0, 255).round().astype(np.uint8))
