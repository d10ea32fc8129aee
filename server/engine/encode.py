"""Finished pixels to a file with its recipe inside, and previews to small JPEGs."""

from __future__ import annotations

import numpy as np
from PIL import Image

from server.domain.recipes import Recipe
from server.pictures import encode


def encode_picture(pixels: np.ndarray, recipe: Recipe) -> bytes:
    """Return `pixels` in the recipe's format, with the recipe inside.

    Args:
        pixels: (height, width, 3) uint8.
        recipe: of this very picture.
    """
    return encode.encode_image(Image.fromarray(pixels), recipe)


def encode_preview(pixels: np.ndarray) -> bytes:
    """Return a preview as a small JPEG."""
    return encode.encode_preview(Image.fromarray(pixels))
