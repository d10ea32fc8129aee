"""Picture files of many kinds, made here."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Return a gradient; its first pixel is darkest."""
    ramp = np.linspace(0, 255, width * height).reshape(height, width).astype(np.uint8)
    return Image.fromarray(ramp, "L").convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return `image` as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(width: int, height: int, mode: str = "RGB") -> bytes:
    """Return a small PNG file."""
    return saved(picture(width, height, mode), "PNG")


def opened(data: bytes) -> Image.Image:
    """Return a file's picture."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def bomb(width: int, height: int) -> bytes:
    """Return a valid PNG of one bit a pixel: tiny as a file, huge once decoded."""
    row = b"\x00" + bytes((width + 7) // 8)
    packer = zlib.compressobj(9)
    packed = b"".join([packer.compress(row) for _ in range(height)]) + packer.flush()
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
            _chunk(b"IDAT", packed),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
