"""Arrays of drawn pictures: what the autoencoder, the denoiser and the critic are trained on."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.storybook.books import Book
from training.storybook.world.canvas import Canvas
from training.storybook.world.shapes import Ellipse, Polygon, Shape, Stroke, star
from training.storybook.world.vocabulary import Colour

Pixels = NDArray[np.uint8]


def training_pictures(book: Book, seeds: range, size: int) -> Pixels:
    """Return a book's pictures of these seeds: (pictures, size, size, 3)."""
    return np.stack([np.asarray(book.picture(seed, size, size)) for seed in seeds])


def scribbles(seeds: range, size: int) -> Pixels:
    """Return pictures of random shapes in random colours: (pictures, size, size, 3).

    They keep the autoencoder honest about hues and forms that the world does not have.
    """
    return np.stack([np.asarray(_scribble(seed, size)) for seed in seeds])


def cached(path: Path, make: Pixels | None = None) -> Pixels | None:
    """Return the array at `path`, mapped into memory; with `make`, write it there first."""
    if make is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, make)
        partial.replace(path)
    return np.load(path, mmap_mode="r") if path.exists() else None


def _scribble(seed: int, size: int) -> Image.Image:
    generator = random.Random(f"scribble {seed}")  # noqa: S311 - drawings, not secrets
    canvas = Canvas.blank(size, size)
    canvas.gradient(_colour(generator), _colour(generator), canvas.height)
    for _ in range(generator.randint(3, 10)):
        shape, colour = _shape(generator), _colour(generator)
        if generator.random() < 0.4:
            canvas.paint(shape, _colour(generator), grow=generator.uniform(1.0, 2.5))
        canvas.paint(shape, colour)
    return canvas.finished()


def _colour(generator: random.Random) -> Colour:
    red, green, blue = (generator.randint(0, 255) for _ in range(3))
    return (red, green, blue)


def _shape(generator: random.Random) -> Shape:
    x, y = generator.uniform(0, 100), generator.uniform(0, 100)
    width, height = generator.uniform(2, 32), generator.uniform(2, 32)
    match generator.randrange(4):
        case 0:
            return Ellipse(x, y, width, height)
        case 1:
            return star(x, y, width, generator.uniform(0.3, 0.8), generator.randint(3, 8))
        case 2:
            corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
            return Polygon(corners)
        case _:
            return Stroke(((x, y), (x + width, y + height)), generator.uniform(1.5, 7))
