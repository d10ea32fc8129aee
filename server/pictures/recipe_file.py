"""The recipe back out of a picture's file; needs no torch."""

from __future__ import annotations

import io

from PIL import Image
from pydantic import ValidationError

from server.domain.errors import NotFoundError, UnreadableImageError
from server.domain.recipes import RECIPE_KEYWORD, Recipe

EXIF_IFD = 0x8769
USER_COMMENT = 0x9286
MAKER_NOTE = 0x927C
MAKER_NOTE_PREFIX = f"{RECIPE_KEYWORD}:".encode()
_FORMATS = ("PNG", "WEBP", "JPEG")


def read_recipe(data: bytes) -> Recipe:
    """Return the recipe in a PNG, WebP or JPEG that Greenroom made.

    Raises:
        UnreadableImageError: the bytes are no picture of these formats, or its recipe is damaged.
        NotFoundError: the picture carries no recipe of ours.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            written = _written(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImageError("this is no PNG, WebP or JPEG that can be read") from error
    if written is None:
        raise NotFoundError(
            "this picture carries no Greenroom recipe; programs that re-save pictures drop it"
        )
    try:
        return Recipe.model_validate_json(written)
    except ValidationError as error:
        raise UnreadableImageError("the recipe in this picture is damaged") from error


def _written(image: Image.Image) -> str | bytes | None:
    text = image.info.get(RECIPE_KEYWORD)  # read with the header, before any pixel is decoded
    if isinstance(text, str):
        return text
    note = image.getexif().get_ifd(EXIF_IFD).get(MAKER_NOTE)
    if isinstance(note, bytes) and note.startswith(MAKER_NOTE_PREFIX):
        return note.removeprefix(MAKER_NOTE_PREFIX)
    return None
