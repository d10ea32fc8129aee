"""Foreign pictures made safe: caps before decoding, then upright pixels without metadata."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from server.pictures.foreign import decoded

THUMBNAIL_QUALITY = 80


@dataclass(frozen=True, slots=True)
class SafePicture:
    """A picture re-encoded as PNG: RGB, or RGBA where it had transparency; sizes in pixels."""

    png: bytes
    width: int
    height: int
    has_alpha: bool


def make_safe(data: bytes, *, max_pixels: int) -> SafePicture:
    """Decode a foreign file and return its pixels as a fresh PNG.

    The size is read from the header and checked before any pixel is decoded. Rotation is
    applied, colours are brought to sRGB, sixteen bits become eight, and metadata is gone.

    Raises:
        TooLargeError: more than `max_pixels`.
        UnreadableImageError: not a picture, damaged, or of a kind that is not read.
    """
    return _as_png(decoded(data, max_pixels=max_pixels))


def mask_from_alpha(picture: SafePicture) -> SafePicture | None:
    """Return a mask that is white where `picture` is fully transparent, and black elsewhere.

    It is kept as pictures are, so bringing the mask's own file gives the same bytes again.

    Returns:
        None where no pixel is fully transparent.
    """
    if not picture.has_alpha:
        return None
    with Image.open(io.BytesIO(picture.png)) as opened:
        white = opened.getchannel("A").point([255] + [0] * 255)
    if white.getbbox() is None:
        return None
    return _as_png(white.convert("RGB"))


def thumbnail(data: bytes, size: int) -> bytes:
    """Return our own picture `data` as WebP with its longer side at most `size` pixels."""
    with Image.open(io.BytesIO(data)) as opened:
        small = opened.convert("RGB")
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=THUMBNAIL_QUALITY)
    return out.getvalue()


def _as_png(picture: Image.Image) -> SafePicture:
    picture.info.clear()
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return SafePicture(out.getvalue(), picture.width, picture.height, picture.mode == "RGBA")
