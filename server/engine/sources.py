"""From the files of a request to pictures of the size to draw: cut, widened, masked."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

from server.domain.errors import UnreadableImageError
from server.domain.images import Outpaint, ResolvedRequest
from server.engine.families.base import Pictures
from server.engine.messages import Sources

_KEEP, _REDRAW = 0, 255


def pictures(request: ResolvedRequest, sources: Sources) -> Pictures:
    """Return what a family starts from: decoded, and cut and scaled to the size to draw.

    What is too wide or too high is cut off around the middle; nothing is stretched. Widening
    continues the edge pixels outwards, and its mask covers what is new. References stay whole.

    Raises:
        UnreadableImageError: some bytes are no picture.
    """
    size = request.width, request.height
    image = _decoded(sources.image, "image", "RGB")
    mask = _decoded(sources.mask, "mask", "L")
    if image is not None and mask is not None and mask.size != image.size:
        mask = mask.resize(image.size, Image.Resampling.BILINEAR)
    if image is not None and request.outpaint is not None:
        image, mask = _widened(*_reduced(image, mask, request.outpaint, size), request.outpaint)
    decoded = (_decoded(data, "references", "RGB") for data in sources.references)
    return Pictures(
        image=None if image is None else _fit(image, size, Image.Resampling.LANCZOS),
        mask=None if mask is None else _fit(mask, size, Image.Resampling.BILINEAR),
        references=tuple(picture for picture in decoded if picture is not None),
    )


def _decoded(data: bytes | None, parameter: str, mode: str) -> Image.Image | None:
    if data is None:
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.convert(mode)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(
            f"the picture given as {parameter} cannot be read", parameter=parameter
        ) from error


def _reduced(
    image: Image.Image, mask: Image.Image | None, outpaint: Outpaint, size: tuple[int, int]
) -> tuple[Image.Image, Image.Image | None]:
    """Return both smaller where, widened, they would be far larger than `size`.

    What is left is at least twice as fine as what is drawn; widened, a large upload would take
    25 times its memory.
    """
    width = image.width * (1 + outpaint.left + outpaint.right)
    height = image.height * (1 + outpaint.top + outpaint.bottom)
    factor = int(min(width / size[0], height / size[1]) / 2)
    if factor < 2:
        return image, mask
    return image.reduce(factor), None if mask is None else mask.reduce(factor)


def _widened(
    image: Image.Image, mask: Image.Image | None, outpaint: Outpaint
) -> tuple[Image.Image, Image.Image]:
    kept = mask or Image.new("L", image.size, _KEEP)
    left, right = (round(part * image.width) for part in (outpaint.left, outpaint.right))
    top, bottom = (round(part * image.height) for part in (outpaint.top, outpaint.bottom))
    margins = ((top, bottom), (left, right))
    pixels = np.pad(np.asarray(image), (*margins, (0, 0)), mode="edge")
    redrawn = np.pad(np.asarray(kept), margins, constant_values=_REDRAW)
    return Image.fromarray(pixels), Image.fromarray(redrawn)


def _fit(image: Image.Image, size: tuple[int, int], resampling: Image.Resampling) -> Image.Image:
    return ImageOps.fit(image, size, resampling)
