"""SDXL's size conditions: six numbers that tell it how a picture was cut; free of torch."""

from __future__ import annotations

from server.domain.images import Pair, ResolvedRequest


def positive(request: ResolvedRequest) -> tuple[int, ...]:
    """Return original size, crop and target size, each height before width or top before left."""
    return _original(request) + _crop(request.crops_coords_top_left) + _target(request)


def negative(request: ResolvedRequest, *, from_image: bool) -> tuple[int, ...]:
    """Return the same for the negative prompt's row, as the two kinds of pipelines read it.

    Text to image: both negative sizes are given, else none of the three negative values counts.
    From an image: each negative size counts alone, and the crop is always the positive one.
    """
    original, target = request.negative_original_size, request.negative_target_size
    if from_image:
        crop = request.crops_coords_top_left
        return (original or _original(request)) + _crop(crop) + (target or _target(request))
    if original is None or target is None:
        return positive(request)
    return original + _crop(request.negative_crops_coords_top_left) + target


def _original(request: ResolvedRequest) -> Pair:
    return request.original_size or (request.height, request.width)


def _target(request: ResolvedRequest) -> Pair:
    return request.target_size or (request.height, request.width)


def _crop(top_left: Pair | None) -> Pair:
    return top_left or (0, 0)
