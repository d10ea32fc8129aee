from __future__ import annotations

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from server.domain.errors import NotFoundError, UnreadableImageError
from server.domain.images import ImageFormat
from server.domain.recipes import Engine, Recipe, parameters_text
from server.engine.encode import encode_picture
from server.pictures.recipe_file import EXIF_IFD, USER_COMMENT, read_recipe

LONG_PROMPT = "狐🦊\n" * 660 + "ä"


def recipe(format_: ImageFormat, prompt: str = "a fox, naïve 狐") -> Recipe:
    return Recipe(
        model="tiny",
        fingerprint="0123456789abcdef",
        prompt=prompt,
        negative_prompt=prompt,
        width=48,
        height=32,
        seed=2**53 - 1,
        num_inference_steps=30,
        guidance_scale=5.5,
        true_cfg_scale=None,
        scheduler="euler",
        max_sequence_length=None,
        image=None,
        strength=None,
        format=format_,
        profile="exact",
        engine=Engine(greenroom="1", torch="2", diffusers="3", device="cpu", dtype="float32"),
        created_at=datetime(2026, 11, 21, 8, 0, 0, 123456, UTC),
    )


def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)


@pytest.mark.parametrize("format_", list(ImageFormat))
@pytest.mark.parametrize("prompt", ["a fox, naïve 狐", "plain", LONG_PROMPT])
def test_a_recipe_comes_back_whole(format_: ImageFormat, prompt: str) -> None:
    written = recipe(format_, prompt)
    data = encode_picture(pixels(), written)
    assert read_recipe(data) == written
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == format_.value.upper()
        assert image.size == (48, 32)


@pytest.mark.parametrize("format_", list(ImageFormat))
def test_other_tools_find_the_settings_where_a1111_puts_them(format_: ImageFormat) -> None:
    written = recipe(format_)
    with Image.open(io.BytesIO(encode_picture(pixels(), written))) as image:
        if format_ is ImageFormat.PNG:
            text = image.info["parameters"]
        else:
            comment = image.getexif().get_ifd(EXIF_IFD)[USER_COMMENT]
            assert comment.startswith(b"UNICODE\0")
            text = comment[8:].decode("utf-16-be")
    assert text == parameters_text(written)


def test_a_png_loses_nothing() -> None:
    data = encode_picture(pixels(), recipe(ImageFormat.PNG))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels())


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "JPEG"])
def test_a_picture_from_elsewhere_has_no_recipe(format_: str) -> None:
    out = io.BytesIO()
    Image.fromarray(pixels()).save(out, format_)
    with pytest.raises(NotFoundError, match="no Greenroom recipe"):
        read_recipe(out.getvalue())


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"GIF89a"])
def test_what_is_no_picture_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        read_recipe(data)


@pytest.mark.parametrize("format_", list(ImageFormat))
def test_a_file_cut_anywhere_never_raises_anything_else(format_: ImageFormat) -> None:
    data = encode_picture(pixels(), recipe(format_))
    for length in range(0, len(data), 61):
        try:
            assert read_recipe(data[:length]) == recipe(format_)
        except (UnreadableImageError, NotFoundError):
            continue


def test_a_damaged_recipe_says_so() -> None:
    data = encode_picture(pixels(), recipe(ImageFormat.JPEG))
    with pytest.raises(UnreadableImageError, match="damaged"):
        read_recipe(data.replace(b'"seed"', b'"sead"'))


def test_a_recipe_of_an_earlier_version_says_no_plan() -> None:
    earlier = recipe(ImageFormat.PNG).model_dump_json(exclude={"plan"})
    assert '"profile":"exact"' in earlier
    assert Recipe.model_validate_json(earlier).plan is None
