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
_SMOOTH, _LINEAR = Image.Resampling.LANCZOS, Image.Resampling.BILINEAR


def pictures(request: ResolvedRequest, sources: Sources) -> Pictures:
    """Return what a family starts from: decoded, and cut and scaled to the size to draw.

    What is too wide or too high is cut off around the middle; nothing is stretched. A picture that
    is widened is not cut: where its new shape is not that of the size, it is widened further on
    both sides alike. The edge pixels continue outwards, and the mask covers all that is new.
    References stay whole.

    Raises:
        UnreadableImageError: some bytes are no picture.
    """
    size = request.width, request.height
    image = _decoded(sources.image, "image", "RGB")
    mask = _decoded(sources.mask, "mask", "L")
    if image is not None and request.outpaint is not None:
        image, mask = _widened(image, mask, request.outpaint, size)
    decoded = (_decoded(data, "references", "RGB") for data in sources.references)
    return Pictures(
        image=None if image is None else ImageOps.fit(image, size, _SMOOTH),
        mask=None if mask is None else ImageOps.fit(mask, size, _LINEAR),
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


def _widened(
    image: Image.Image, mask: Image.Image | None, outpaint: Outpaint, size: tuple[int, int]
) -> tuple[Image.Image, Image.Image]:
    """Return a canvas of `size` with the picture where `outpaint` leaves it, and its mask."""
    inner, place = _placed(image.size, outpaint, size)
    kept = Image.new("L", inner, _KEEP) if mask is None else mask.resize(inner, _LINEAR)
    added = tuple((place[axis], size[axis] - place[axis] - inner[axis]) for axis in (1, 0))
    # Scaled first: a large picture, widened as far as may be, would not fit into memory.
    pixels = np.pad(np.asarray(image.resize(inner, _SMOOTH)), (*added, (0, 0)), mode="edge")
    redrawn = np.pad(np.asarray(kept), added, constant_values=_REDRAW)
    return Image.fromarray(pixels), Image.fromarray(redrawn)


def _placed(
    picture: tuple[int, int], outpaint: Outpaint, size: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the picture's size and top left corner on a canvas of `size`, in pixels (x, y)."""
    before = picture[0] * outpaint.left, picture[1] * outpaint.top
    after = picture[0] * outpaint.right, picture[1] * outpaint.bottom
    canvas = [before[axis] + picture[axis] + after[axis] for axis in (0, 1)]
    scale = min(size[axis] / canvas[axis] for axis in (0, 1))
    inner, place = [], []
    for axis in (0, 1):
        inner.append(max(1, round(picture[axis] * scale)))
        free = size[axis] - canvas[axis] * scale  # where the shapes differ: half on each side
        place.append(min(round(free / 2 + before[axis] * scale), size[axis] - inner[axis]))
    return (inner[0], inner[1]), (place[0], place[1])
