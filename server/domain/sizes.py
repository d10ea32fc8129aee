"""Which size is drawn: what was asked, or the declared size that suits the pictures given."""

from __future__ import annotations

import math
from dataclasses import dataclass

from server.domain.errors import RequestRefusedError
from server.domain.images import ImageRequest, Options, Outpaint
from server.domain.models import ModelInfo, Size, SizeRule

Pixels = tuple[int, int]  # width, height
_SAME_SHAPE = 0.01  # a mask may be this much wider or narrower than its picture
SCALE_OPTION = "image_size"  # the option whose values a remote model's `scales` name


@dataclass(frozen=True, slots=True)
class SourcePixels:
    """Width and height of the pictures that a request names; None where it names none."""

    image: Pixels | None = None
    mask: Pixels | None = None
    reference: Pixels | None = None  # the first one


def size_of(request: ImageRequest, model: ModelInfo, given: SourcePixels) -> Pixels:
    """Return width and height to draw.

    Where the request says nothing, it is the declared size whose shape is nearest to that of the
    picture given, widened as asked, and without a picture the first declared one.

    Raises:
        RequestRefusedError: the model does not draw what was asked; the message says what would do.
    """
    if request.aspect_ratio is not None:
        return _of_shape(request, model)
    if request.width is None and request.height is None:
        return _suiting(request, model, given)
    if request.width is None or request.height is None:
        missing = "width" if request.width is None else "height"
        raise RequestRefusedError("width and height go together; one is missing", parameter=missing)
    if model.remote is not None and model.remote.size_rule is SizeRule.NEAREST:
        return _nearest(request.width / request.height, model)
    _check_multiples(request.width, request.height, model)
    _check_shape(request.width, request.height, model)
    if request.width * request.height > model.max_pixels:
        raise RequestRefusedError(
            f"{request.width} x {request.height} is more than the {model.max_pixels} pixels that "
            f"model '{model.id}' draws",
            parameter="width",
        )
    return request.width, request.height


def with_scale_chosen(request: ImageRequest, model: ModelInfo) -> ImageRequest:
    """Return `request` with the option `image_size` that its width and height are nearest to.

    Only for models that have it, and where the request does not name it itself.
    """
    terms = model.remote
    if terms is None or not terms.scales or SCALE_OPTION in request.options:
        return request
    if request.width is None or request.height is None:
        return request
    width, height = _nearest(request.width / request.height, model)
    wanted = math.sqrt(request.width * request.height / (width * height))
    scale = min(terms.scales, key=lambda name: abs(math.log(terms.scales[name] / wanted)))
    return request.model_copy(update={"options": {**request.options, SCALE_OPTION: scale}})


def scaled(pixels: Pixels, model: ModelInfo, options: Options) -> Pixels:
    """Return a declared size as the option `image_size` makes it."""
    scale = model.remote.scales.get(str(options.get(SCALE_OPTION)), 1) if model.remote else 1
    return round(pixels[0] * scale), round(pixels[1] * scale)


def check_mask(given: SourcePixels) -> None:
    """Refuse a mask of another shape than the picture's; one of another size is scaled.

    Raises:
        RequestRefusedError: the two shapes.
    """
    if given.image is None or given.mask is None:
        return
    wider = _shape(given.mask) / _shape(given.image)
    if abs(wider - 1) > _SAME_SHAPE:
        raise RequestRefusedError(
            f"the mask is {given.mask[0]} x {given.mask[1]} and the image {given.image[0]} x "
            f"{given.image[1]}, which is another shape; give a mask of the image's shape",
            parameter="mask",
        )


def _suiting(request: ImageRequest, model: ModelInfo, given: SourcePixels) -> Pixels:
    source = _widened(given.image, request.outpaint) if given.image else given.reference
    first = model.sizes[0]
    if source is None:
        return first.width, first.height
    return _nearest(_shape(source), model)


def _nearest(shape: float, model: ModelInfo) -> Pixels:
    # min() keeps the first of equals, so the model's favourite wins.
    best = min(model.sizes, key=lambda s: abs(math.log(s.width / s.height / shape)))
    return best.width, best.height


def _widened(image: Pixels, outpaint: Outpaint | None) -> tuple[float, float]:
    if outpaint is None:
        return image
    width, height = image
    return (
        width * (1 + outpaint.left + outpaint.right),
        height * (1 + outpaint.top + outpaint.bottom),
    )


def _shape(pixels: tuple[float, float]) -> float:
    width, height = pixels
    return width / height


def _check_multiples(width: int, height: int, model: ModelInfo) -> None:
    multiple = model.size_multiple
    for name, pixels in (("width", width), ("height", height)):
        if pixels % multiple:
            near = max(multiple, round(pixels / multiple) * multiple)
            raise RequestRefusedError(
                f"{name} {pixels} is not a multiple of {multiple}, which model '{model.id}' "
                f"needs; {near} is",
                parameter=name,
            )


def _check_shape(width: int, height: int, model: ModelInfo) -> None:
    most = model.remote.longest_shape if model.remote else None
    if most is not None and max(width, height) > most * min(width, height):
        raise RequestRefusedError(
            f"{width} x {height} is longer than {most:g}:1, the most that model '{model.id}' draws",
            parameter="width",
        )


def _of_shape(request: ImageRequest, model: ModelInfo) -> Pixels:
    if request.width is not None or request.height is not None:
        raise RequestRefusedError(
            "give aspect_ratio or width and height, not both", parameter="aspect_ratio"
        )
    found: Size | None = next(
        (s for s in model.sizes if s.aspect_ratio == request.aspect_ratio), None
    )
    if found is None:
        shapes = ", ".join(s.aspect_ratio for s in model.sizes)
        raise RequestRefusedError(
            f"model '{model.id}' has no size of shape {request.aspect_ratio}; it has {shapes}",
            parameter="aspect_ratio",
        )
    return found.width, found.height
