"""Foreign pictures made safe: caps before decoding, then upright pixels without metadata."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image, ImageCms, ImageOps

from server.domain.errors import TooLargeError, UnreadableImageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "HEIF")
THUMBNAIL_QUALITY = 80
_READ = "PNG, JPEG, WebP, GIF, BMP, TIFF and HEIC work"


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
    import pillow_heif  # here, as numpy below: most servers never need it, all would wait for it

    pillow_heif.register_heif_opener()
    try:
        with warnings.catch_warnings():
            # Damaged EXIF and the like: the pixels decide, and they are checked by decoding.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                _check_size(opened, max_pixels)
                opened.load()
                upright = ImageOps.exif_transpose(opened)
                return _as_png(_in_srgb(_eight_bits(upright)))
    except TooLargeError:
        raise
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"the picture has far more than {max_pixels} pixels") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, OverflowError) as error:
        raise UnreadableImageError(f"the file is not a picture we can read; {_READ}") from error


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


def _as_png(picture: Image.Image) -> SafePicture:
    picture.info.clear()
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return SafePicture(out.getvalue(), picture.width, picture.height, picture.mode == "RGBA")
