import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from server.domain.errors import TooLargeError, UnreadableImageError
from server.services.pictures import SafePicture, make_safe, mask_from_alpha, thumbnail


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def safe(data: bytes, max_pixels: int = 1_000_000) -> SafePicture:
    return make_safe(data, max_pixels=max_pixels)


def pixels(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(safe(data).png))


def test_a_jpeg_is_turned_upright_and_loses_its_metadata() -> None:
    picture = Image.new("RGB", (4, 2), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    exif[0x010F] = "a camera"
    result = safe(encoded(picture, "JPEG", exif=exif))
    assert (result.width, result.height) == (2, 4)
    assert not Image.open(io.BytesIO(result.png)).getexif()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_each_kind_that_is_named_is_read(kind: str) -> None:
    data = encoded(Image.new("RGB", (8, 8), "red"), kind)
    red, green, blue = np.asarray(pixels(data).convert("RGB"))[1, 1]
    assert red > 250
    assert max(green, blue) < 5


def test_heic_is_read() -> None:
    pillow_heif.register_heif_opener()
    data = encoded(Image.new("RGB", (64, 64), "green"), "HEIF", quality=100)
    assert safe(data).width == 64


def test_cmyk_becomes_rgb() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = pixels(data).getpixel((1, 1))  # type: ignore[misc]
    assert red > 200
    assert max(green, blue) < 60


def test_sixteen_bits_become_eight_by_share() -> None:
    values = np.full((4, 4), 32768, dtype=np.uint16)
    grey = pixels(encoded(Image.fromarray(values), "PNG")).getpixel((0, 0))
    assert grey == (127, 127, 127)


def test_transparency_is_kept() -> None:
    data = encoded(Image.new("RGBA", (4, 4), (1, 2, 3, 0)), "PNG")
    assert pixels(data).mode == "RGBA"


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [1001, 30_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused_before_decoding(side: int) -> None:
    with pytest.raises(TooLargeError):
        safe(bomb(side, side))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"just text, called sketch.png",
        encoded(Image.new("RGB", (64, 64)), "PNG")[:60],
        encoded(Image.effect_noise((64, 64), 50), "JPEG")[:200],
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    ],
    ids=["empty", "text", "cut png", "cut jpeg", "postscript"],
)
def test_what_is_no_picture_is_named_so(data: bytes) -> None:
    with pytest.raises(UnreadableImageError, match="PNG, JPEG"):
        safe(data)


def test_a_thumbnail_keeps_the_shape() -> None:
    data = encoded(Image.new("RGB", (400, 100), "red"), "PNG")
    assert Image.open(io.BytesIO(thumbnail(data, 256))).size == (256, 64)


def test_a_mask_is_white_where_a_picture_is_fully_transparent() -> None:
    image = Image.new("RGBA", (8, 4), (10, 20, 30, 255))
    image.paste((0, 0, 0, 0), (4, 0, 8, 4))
    image.putpixel((0, 0), (0, 0, 0, 1))  # all but transparent is kept
    mask = mask_from_alpha(safe(encoded(image, "PNG")))
    assert mask is not None
    shown = Image.open(io.BytesIO(mask.png))
    assert shown.mode == "RGB"
    assert [shown.getpixel((x, 0)) for x in (0, 3, 4, 7)] == [(0,) * 3] * 2 + [(255,) * 3] * 2
    # Its own file, brought again, is the same upload.
    assert safe(mask.png) == mask


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_picture_without_transparent_pixels_is_no_mask(mode: str) -> None:
    assert mask_from_alpha(safe(encoded(Image.new(mode, (8, 8), "red"), "PNG"))) is None
