"""What a request's files become before they are drawn on."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
from PIL import Image

from server.domain.images import Outpaint
from server.engine.messages import Sources
from server.engine.sources import pictures
from tests.engine.drawing import request


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def test_a_large_picture_is_widened_without_many_times_its_memory() -> None:
    side = 1600
    halves = Image.new("RGB", (side, side), "navy")
    halves.paste("gold", (side // 2, 0, side, side))
    asked = request(outpaint=Outpaint(left=2, top=2, right=2, bottom=2), width=160, height=160)
    tracemalloc.start()
    try:
        found = pictures(asked, Sources(image=png(halves)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * side**2 * 3  # 25 times as many pixels would be far more
    assert found.image is not None
    assert found.mask is not None
    drawn_anew = np.asarray(found.mask) >= 128
    assert not drawn_anew[64:96, 64:96].any()
    assert drawn_anew.sum() == 160**2 - 32**2
    colours = np.asarray(found.image).astype(int)
    assert np.abs(colours[80, 70] - (0, 0, 128)).max() <= 2
    assert np.abs(colours[80, 90] - (255, 215, 0)).max() <= 2
