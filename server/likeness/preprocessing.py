"""From a picture to the numbers that a vision model reads, as its own configuration says.

The same steps as transformers' image processors take, with Pillow and numpy alone: those need
torchvision for some of their classes, which is no part of this project.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CONFIG_FILE = "preprocessor_config.json"
_BYTE = 1 / 255  # turns a colour channel into 0 to 1
# Steps that some processors have and this module does not: better refused than left out.
_UNKNOWN_STEPS = ("do_pad", "do_thumbnail", "do_align_long_axis", "do_flip_channel_order")


class ProcessingError(ValueError):
    """The configuration asks for what is not done here; the message says what."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Steps in their order; None leaves a step out.

    Attributes:
        short_side: scale so that the shorter side has so many pixels.
        exact: scale to exactly (width, height), whatever the shape was.
        resample: Pillow's filter for scaling.
        crop: keep (width, height) around the middle.
        factor: what bytes are multiplied with.
        mean: subtracted, by channel.
        std: divided by, by channel.
    """

    short_side: int | None
    exact: tuple[int, int] | None
    resample: Image.Resampling
    crop: tuple[int, int] | None
    factor: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def pixels(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return (pictures, 3, h, w); all come out in one size.

        Raises:
            ProcessingError: they do not, since the configuration has neither size nor crop.
        """
        arrays = [np.asarray(self._framed(p.convert("RGB")), np.float32) for p in pictures]
        if len({array.shape for array in arrays}) > 1:
            raise ProcessingError("pictures of several sizes; add a size or a crop_size")
        mean, std = (np.asarray(each, dtype=np.float32) for each in (self.mean, self.std))
        scaled = (np.stack(arrays) * np.float32(self.factor) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)

    def _framed(self, picture: Image.Image) -> Image.Image:
        if self.exact is not None:
            picture = picture.resize(self.exact, self.resample)
        if self.short_side is not None:
            picture = picture.resize(self._scaled(picture.size, self.short_side), self.resample)
        if self.crop is None:
            return picture
        width, height = self.crop
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        return picture.crop((left, top, left + width, top + height))

    @staticmethod
    def _scaled(size: tuple[int, int], short_side: int) -> tuple[int, int]:
        width, height = size
        if width <= height:
            return short_side, int(short_side * height / width)
        return int(short_side * width / height), short_side


def read_preprocessing(folder: Path) -> Preprocessing:
    """Return what the folder's `preprocessor_config.json` says.

    Raises:
        ProcessingError: there is none, or it asks for a step that is not done here.
    """
    try:
        config = json.loads((folder / CONFIG_FILE).read_text())
    except (OSError, ValueError) as error:
        raise ProcessingError(f"it has no readable {CONFIG_FILE}; add the model's own") from error
    if not isinstance(config, dict):
        raise ProcessingError(f"its {CONFIG_FILE} is no JSON object; add the model's own")
    return _parsed(config)


def _parsed(config: Mapping[str, object]) -> Preprocessing:
    for step in _UNKNOWN_STEPS:
        if config.get(step):
            raise ProcessingError(f"its {CONFIG_FILE} asks for '{step}', which is not done here")
    size = _size(config.get("size")) if config.get("do_resize", True) else {}
    crop = _crop(config.get("crop_size")) if config.get("do_center_crop") else None
    short_side, exact = size.get("shortest_edge"), _box(size)
    if short_side is None and exact is None and size:
        raise ProcessingError(f"its size {size} is not known; known: shortest_edge, height, width")
    if crop is not None and short_side is not None and max(crop) > short_side:
        raise ProcessingError(f"its crop {crop} is larger than its size {short_side}")
    normalised = config.get("do_normalize", True)
    return Preprocessing(
        short_side,
        exact,
        Image.Resampling(int(_number(config.get("resample", Image.Resampling.BICUBIC)))),
        crop,
        _number(config.get("rescale_factor", _BYTE)) if config.get("do_rescale", True) else 1.0,
        _channels(config.get("image_mean")) if normalised else (0.0, 0.0, 0.0),
        _channels(config.get("image_std")) if normalised else (1.0, 1.0, 1.0),
    )


def _size(value: object) -> dict[str, int]:
    """Return pixels by name; older configurations have a bare number for the shorter side."""
    if isinstance(value, int):
        return {"shortest_edge": value}
    if isinstance(value, dict) and all(isinstance(pixels, int) for pixels in value.values()):
        return dict(value)
    raise ProcessingError(f"its size {value!r} is neither a number nor pixels by name")


def _crop(value: object) -> tuple[int, int] | None:
    """Return (width, height); older configurations have a bare number for a square."""
    return (value, value) if isinstance(value, int) else _box(_size(value))


def _box(size: Mapping[str, int]) -> tuple[int, int] | None:
    """Return (width, height), or None where the size names no such thing."""
    if {"width", "height"} <= set(size):
        return size["width"], size["height"]
    return None


def _number(value: object) -> float:
    if isinstance(value, (int, float)):
        return value
    raise ProcessingError(f"{value!r} in its {CONFIG_FILE} should be a number")


def _channels(value: object) -> tuple[float, float, float]:
    if isinstance(value, list) and len(value) == len(("red", "green", "blue")):
        red, green, blue = (_number(each) for each in value)
        return red, green, blue
    raise ProcessingError(f"{value!r} in its {CONFIG_FILE} should be three numbers")
