"""What a provider says while it makes pictures, in the order it happens."""

from __future__ import annotations

from dataclasses import dataclass

from server.domain.errors import AppError
from server.domain.images import ImageFormat
from server.domain.money import Money
from server.domain.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Started:
    """Work on picture `index` has begun; until then it only waited."""

    index: int
    total_steps: int


@dataclass(frozen=True, slots=True)
class Progress:
    """`step` of `total_steps` denoising steps of picture `index` are done."""

    index: int
    step: int
    total_steps: int


@dataclass(frozen=True, slots=True)
class Preview:
    """A small JPEG of the unfinished picture `index`."""

    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """Picture `index` is done: the encoded file with its recipe inside, and how long it took.

    Pictures that are drawn together share the device's time; `device_seconds` is this one's part,
    0 for a remote service. `cost` is what a remote service charged, or by its price list should
    have; None for the local engine, and where it is not known.
    """

    index: int
    data: bytes
    format: ImageFormat
    width: int
    height: int
    recipe: Recipe
    duration_seconds: float  # from Started to the last byte
    device_seconds: float
    cost: Money | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Picture `index` will not come."""

    index: int
    error: AppError


Event = Started | Progress | Preview | Picture | Failed
