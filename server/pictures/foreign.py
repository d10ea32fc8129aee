"""Foreign pictures decoded safely: caps before any pixel, then upright, in sRGB, eight bits."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

from PIL import Image, ImageCms, ImageOps

from server.domain.errors import TooLargeError, UnreadableImageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "HEIF")
_READ = "PNG, JPEG, WebP, GIF, BMP, TIFF and HEIC work"


def decoded(data: bytes, *, max_pixels: int, formats: Sequence[str] = FORMATS) -> Image.Image:
    """Return a foreign file's pixels as RGB, or as RGBA where it had transparency.

    The size is read from the header and checked before any pixel is decoded. Rotation is
    applied, colours are brought to sRGB, sixteen bits become eight.

    Raises:
        TooLargeError: more than `max_pixels`.
        UnreadableImageError: not a picture, damaged, or of a kind that is not read.
    """
    if "HEIF" in formats:
        import pillow_heif  # here, as numpy below: most servers never need it

        pillow_heif.register_heif_opener()
    try:
        with warnings.catch_warnings():
            # Damaged EXIF and the like: the pixels decide, and they are checked by decoding.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=tuple(formats)) as opened:
                _check_size(opened, max_pixels)
                opened.load()
                upright = ImageOps.exif_transpose(opened)
                return _in_srgb(_eight_bits(upright))
    except TooLargeError:
        raise
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"the picture has far more than {max_pixels} pixels") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, OverflowError) as error:
        raise UnreadableImageError(f"the file is not a picture we can read; {_READ}") from error


def _check_size(opened: Image.Image, max_pixels: int) -> None:
    width, height = opened.size
    if width * height > max_pixels:
        raise TooLargeError(
            f"the picture has {width} x {height} pixels; at most {max_pixels / 1e6:.0f} million "
            "are taken, so make it smaller"
        )
    if min(width, height) < 1:
        raise UnreadableImageError("the picture has no pixels")


def _eight_bits(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        import numpy as np

        values = np.asarray(picture, dtype=np.float64)
        # Sixteen-bit greys fill 0..65535; other deep modes are stretched to what they hold.
        top = 65535.0 if picture.mode.startswith("I;16") or values.max() > 255 else 255.0
        return Image.fromarray((values / top * 255).clip(0, 255).astype(np.uint8), "L")
    return picture


def _in_srgb(picture: Image.Image) -> Image.Image:
    has_alpha = picture.has_transparency_data
    target = "RGBA" if has_alpha and picture.mode != "CMYK" else "RGB"
    profile = picture.info.get("icc_profile")
    if profile and picture.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(picture, source, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            return picture.convert(target)  # a broken profile: the numbers as they are
        if converted is not None:
            return converted.convert(target)
    return picture.convert(target)
