"""Exact measures without any network: what a picture shows is found by painting over it.

The figure that changes a picture least when it is painted on top is the one already there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.storybook.world.brush import Brush
from training.storybook.world.canvas import Canvas
from training.storybook.world.drawing import Placement, coat_mask, draw, paint_figure, placement
from training.storybook.world.vocabulary import COLOURS, SETTINGS, SPECIES, Scene

Numbers = NDArray[np.float32]
BLACK_LIMIT = 20  # bytes; brighter is painted
NUDGES = (-2.2, 0.0, 2.2)  # units that a figure may stand beside its nominal place
GROWTHS = (0.97, 1.03)
BACKDROP_SEEDS = range(30_000_000, 30_000_008)


@dataclass(frozen=True)
class Share:
    """How many of how many were right, with the 95 % interval of the true share.

    Source: Wilson 1927.
    """

    right: int
    of: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.right / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound."""
        z, n, p = 1.96, self.of, self.value
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (max(0.0, middle - half), min(1.0, middle + half))


def painted_species(
    picture: Image.Image, scene: Scene, candidates: tuple[str, ...] = SPECIES
) -> str:
    """Return the species that fits the picture, given everything else that the scene says."""
    return min(candidates, key=lambda species: _change(picture, replace(scene, species=species)))


def coat_colour(picture: Image.Image, scene: Scene) -> str:
    """Return the coat colour whose drawn median is nearest to that of the picture's coat region."""
    inside = np.asarray(coat_mask(scene, *picture.size)) > 250
    seen = np.median(np.asarray(picture.convert("RGB"), dtype=np.float32)[inside], axis=0)
    return min(
        COLOURS,
        key=lambda colour: float(np.square(_drawn_coat(scene, colour, inside) - seen).sum()),
    )


def backdrop(picture: Image.Image, scene: Scene) -> str:
    """Return the setting whose drawn average is nearest at the picture's left and right edges."""
    seen = _edges(picture)
    distances = {
        setting: float(
            np.abs(_drawn_edges(replace(scene, setting=setting), picture.size) - seen).mean()
        )
        for setting in SETTINGS
    }
    return min(distances, key=distances.__getitem__)


def _change(picture: Image.Image, scene: Scene) -> float:
    """Return the mean change of the pixels that painting the scene's figure touches, at best."""
    before = np.asarray(picture.convert("RGB"), dtype=np.float32)
    nominal = placement(scene, Canvas.blank(*picture.size))
    changes = []
    for place in _nearby(nominal):
        touched = _touched(scene, place, picture.size)
        brush = Brush(Canvas.over(picture.convert("RGB")), scene.style)
        paint_figure(brush, scene, place)
        after = np.asarray(brush.canvas.finished(), dtype=np.float32)
        changes.append(float(np.abs(after - before)[touched].mean()))
    return min(changes)


def _nearby(place: Placement) -> Iterable[Placement]:
    for dx in NUDGES:
        for growth in GROWTHS:
            yield Placement(place.x + dx, place.y, place.scale * growth)


def _touched(scene: Scene, place: Placement, size: tuple[int, int]) -> NDArray[np.bool_]:
    black = Brush(Canvas.blank(*size), scene.style)
    paint_figure(black, replace(scene, colour="white"), place)
    brightest = np.asarray(black.canvas.finished()).max(axis=2)
    return np.asarray(brightest > BLACK_LIMIT)


def _drawn_coat(scene: Scene, colour: str, inside: NDArray[np.bool_]) -> Numbers:
    drawn = draw(replace(scene, colour=colour), 0, inside.shape[1], inside.shape[0])
    return np.asarray(np.median(np.asarray(drawn, dtype=np.float32)[inside], axis=0))


def _edges(picture: Image.Image) -> Numbers:
    """Return mean colours near the left and right edges, (8, 2, 3), a paper border left out."""
    small = picture.convert("RGB").resize((16, 8), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.float32)
    return np.stack([pixels[:, 1], pixels[:, -2]], axis=1)


def _drawn_edges(scene: Scene, size: tuple[int, int]) -> Numbers:
    edges = [_edges(draw(scene, seed, *size)) for seed in BACKDROP_SEEDS]
    return np.asarray(np.mean(edges, axis=0))
