"""A finished picture to a file with its recipe inside; needs no torch."""

from __future__ import annotations

import io
import json

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from server.domain.images import ImageFormat
from server.domain.recipes import A1111_KEYWORD, RECIPE_KEYWORD, Recipe, parameters_text
from server.pictures.recipe_file import EXIF_IFD, MAKER_NOTE, MAKER_NOTE_PREFIX, USER_COMMENT

_PNG_LEVEL = 1  # twice the speed of the default for a few per cent of size
_UNICODE = b"UNICODE\0"  # how EXIF says that a comment is UTF-16; A1111 writes big-endian


def encode_image(image: Image.Image, recipe: Recipe) -> bytes:
    """Return `image` in the recipe's format, with the recipe as A1111's text and as our JSON.

    Args:
        image: RGB, or RGBA for formats that have transparency.
        recipe: of this very picture.
    """
    out = io.BytesIO()
    if recipe.format is ImageFormat.PNG:
        image.save(out, "PNG", compress_level=_PNG_LEVEL, pnginfo=_png_text(recipe))
    elif recipe.format is ImageFormat.WEBP:
        image.save(out, "WEBP", quality=90, method=2, exif=_exif(recipe))
    else:
        image.save(out, "JPEG", quality=92, subsampling=0, exif=_exif(recipe))
    return out.getvalue()


def encode_preview(image: Image.Image) -> bytes:
    """Return a preview as a small JPEG."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def _json(recipe: Recipe) -> str:
    return json.dumps(recipe.model_dump(mode="json"), ensure_ascii=False)


def _png_text(recipe: Recipe) -> PngInfo:
    text = PngInfo()
    text.add_text(A1111_KEYWORD, parameters_text(recipe))
    text.add_itxt(RECIPE_KEYWORD, _json(recipe))
    return text


def _exif(recipe: Recipe) -> Image.Exif:
    exif = Image.Exif()
    exif[EXIF_IFD] = {
        USER_COMMENT: _UNICODE + parameters_text(recipe).encode("utf-16-be"),
        MAKER_NOTE: MAKER_NOTE_PREFIX + _json(recipe).encode(),
    }
    return exif
