"""Pictures that FLUX.1 Kontext looks at: made one, and of a size that it was trained with."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.pipelines.flux.pipeline_flux_kontext import PREFERRED_KONTEXT_RESOLUTIONS
from PIL import Image

from server.domain.errors import RequestRefusedError

Sizes = Sequence[tuple[int, int]]  # width and height in pixels

PREFERRED_SIZES: Sizes = tuple(PREFERRED_KONTEXT_RESOLUTIONS)


def one_reference(
    pictures: Sequence[Image.Image], multiple: int, sizes: Sizes = PREFERRED_SIZES
) -> Image.Image:
    """Return all references as the one picture that the checkpoint knows.

    It is stretched to the preferred size of nearest shape, as diffusers' pipeline stretches it.

    Args:
        pictures: RGB, at least one; several are put side by side.
        multiple: the sides of the result are multiples of this many pixels.
        sizes: preferred ones; none: it keeps its own, rounded down.

    Raises:
        RequestRefusedError: a side is shorter than `multiple`.
    """
    picture = _side_by_side(pictures)
    width, height = (side // multiple * multiple for side in picture.size)
    if not width or not height:
        raise RequestRefusedError(
            f"a reference of {picture.width} x {picture.height} pixels is too small; "
            f"give at least {multiple} x {multiple}",
            parameter="references",
        )
    if sizes:
        shape = width / height
        _, width, height = min((abs(shape - w / h), w, h) for w, h in sizes)
        width, height = width // multiple * multiple, height // multiple * multiple
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return the pictures in a row, all as high as the lowest, so that none is blown up."""
    if len(pictures) == 1:
        return pictures[0]
    height = min(picture.height for picture in pictures)
    widths = [max(1, round(p.width * height / p.height)) for p in pictures]
    row = Image.new("RGB", (sum(widths), height))
    left = 0
    for picture, width in zip(pictures, widths, strict=True):
        row.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (left, 0))
        left += width
    return row
