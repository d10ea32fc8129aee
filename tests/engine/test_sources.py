"""What a request gives, cut, widened and masked to the size that is drawn."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from server.domain.errors import UnreadableImageError
from server.domain.images import Outpaint
from server.engine.messages import Sources
from server.engine.sources import pictures
from tests.engine.drawing import request


def png(width: int, height: int, mode: str = "RGB") -> bytes:
    levels = np.linspace(0, 255, width * height).reshape(height, width).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(levels).convert(mode).save(out, "PNG")
    return out.getvalue()


def test_nothing_is_stretched() -> None:
    found = pictures(request(width=64, height=64), Sources(image=png(200, 100)))
    assert found.image is not None
    assert found.image.size == (64, 64)
    middle = Image.open(io.BytesIO(png(200, 100))).crop((50, 0, 150, 100)).resize((64, 64))
    assert np.abs(np.asarray(found.image) - np.asarray(middle).astype(int)).mean() < 2


def test_a_mask_follows_the_image_and_keeps_its_place() -> None:
    levels = np.zeros((100, 200), np.uint8)
    levels[:, 100:] = 255
    out = io.BytesIO()
    Image.fromarray(levels).save(out, "PNG")
    found = pictures(
        request(width=64, height=64), Sources(image=png(400, 200), mask=out.getvalue())
    )
    mask = np.asarray(found.mask)
    assert mask.shape == (64, 64)
    assert mask[:, :30].max() == 0
    assert mask[:, 34:].min() == 255


@pytest.mark.parametrize(
    ("outpaint", "size", "kept"),
    [
        # left, top, right, bottom of what is kept, in pixels of the size that is drawn
        ({"left": 0.5, "right": 0.5}, (128, 64), (32, 0, 96, 64)),
        ({"left": 1.0}, (128, 64), (64, 0, 128, 64)),
        ({"bottom": 1.0}, (64, 128), (0, 0, 64, 64)),
        # A shape that the model does not have: widened further, never cut.
        ({"left": 0.5, "right": 0.5}, (64, 64), (16, 16, 48, 48)),
        ({"top": 0.5, "bottom": 0.5}, (128, 64), (48, 16, 80, 48)),
    ],
)
def test_a_widened_picture_is_kept_whole_and_all_around_it_is_new(
    outpaint: dict[str, float], size: tuple[int, int], kept: tuple[int, int, int, int]
) -> None:
    asked = request(width=size[0], height=size[1], outpaint=Outpaint(**outpaint))
    found = pictures(asked, Sources(image=png(64, 64)))
    assert found.image is not None
    assert found.image.size == size
    left, top, right, bottom = kept
    inside = np.asarray(found.mask)[top + 1 : bottom - 1, left + 1 : right - 1]
    assert inside.max() == 0
    outside = np.asarray(found.mask).copy()
    outside[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = 255
    assert outside.min() == 255


def test_references_stay_whole_and_in_order() -> None:
    found = pictures(request(), Sources(references=(png(30, 50), png(70, 20))))
    assert [picture.size for picture in found.references] == [(30, 50), (70, 20)]


@pytest.mark.parametrize("name", ["image", "mask", "references"])
def test_what_is_no_picture_is_named(name: str) -> None:
    given = (b"nothing",) if name == "references" else b"nothing"
    with pytest.raises(UnreadableImageError, match=name) as refused:
        pictures(request(), Sources.model_validate({name: given}))
    assert refused.value.parameter == name


def test_a_large_picture_is_widened_without_many_times_its_memory() -> None:
    side = 1600
    out = io.BytesIO()
    Image.new("RGB", (side, side), "navy").save(out, "PNG")
    asked = request(outpaint=Outpaint(left=2, top=2, right=2, bottom=2), width=160, height=160)
    tracemalloc.start()
    try:
        found = pictures(asked, Sources(image=out.getvalue()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * side**2 * 3  # 25 times as many pixels would be far more
    drawn_anew = np.asarray(found.mask) >= 128
    assert drawn_anew.sum() == 160**2 - 32**2
    assert not drawn_anew[64:96, 64:96].any()
