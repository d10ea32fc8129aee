"""The drawing loop with adapters: read once, mixed by row, and a misfit fails alone."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from server.domain.models import EngineModel
from server.engine import tiny
from server.engine.adapters.adapter import Adapter
from server.engine.adapters.shelves import budget_bytes
from server.engine.families.sdxl import SdxlFamily
from server.engine.messages import DrawAdapter, DrawFailed, DrawPicture
from tests.engine.adapters import made
from tests.engine.ticking import Ticking


@pytest.fixture
def ticking(models: dict[str, EngineModel]) -> Iterator[Ticking]:
    loop = Ticking(models)
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    unet = tiny.make_sdxl().unet
    tensors = made.peft(made.adapter({"unet": unet}, 1, wanted=made.attention, size=0.3))
    return made.written(tensors, tmp_path_factory.mktemp("adapters"))


def at(path: Path, weight: float = 1.0) -> tuple[DrawAdapter]:
    return (DrawAdapter(id="ink", sha256=path.name, path=str(path), weight=weight),)


def pixels(said: DrawPicture | DrawFailed) -> np.ndarray:
    assert isinstance(said, DrawPicture), said
    return np.asarray(Image.open(io.BytesIO(said.data))).astype(int)


def test_pictures_with_and_without_share_a_tick_and_differ(ticking: Ticking, path: Path) -> None:
    ticking.draw(1)
    ticking.draw(2, adapters=at(path))
    ticking.draw(3, adapters=at(path, 0.0))
    drawn = ticking.until_done(1, 2, 3)
    assert np.abs(pixels(drawn[1]) - pixels(drawn[2])).max() > 2
    assert np.abs(pixels(drawn[1]) - pixels(drawn[3])).max() <= 1


def test_a_file_is_read_once(ticking: Ticking, path: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(path.read_bytes())
    ticking.draw(1, adapters=at(moved))
    first = ticking.until_done(1)[1]
    moved.unlink()
    ticking.draw(2, adapters=at(moved))
    assert (pixels(ticking.until_done(2)[2]) == pixels(first)).all()


class Slow(SdxlFamily):
    """A model whose adapters are read when the test says so."""

    may_read = threading.Event()

    def read_adapter(self, path: Path) -> Adapter:
        assert self.may_read.wait(60)
        return super().read_adapter(path)


def test_pictures_under_way_do_not_wait_for_a_file(
    models: dict[str, EngineModel], path: Path
) -> None:
    ticking = Ticking(models, load=lambda _model, _device, _plan: Slow(tiny.make_sdxl()))
    try:
        ticking.draw(1, num_inference_steps=30)
        ticking.tick(2)
        ticking.draw(2, adapters=at(path))
        ticking.draw(3)
        ticking.tick(3)
        assert ticking.steps(1) + ticking.steps(3) >= 5
        assert {row.draw for row in ticking.rows} == {1, 3}
        Slow.may_read.set()
        drawn = ticking.until_done(1, 2, 3)
    finally:
        ticking.close()
    assert np.abs(pixels(drawn[2]) - pixels(drawn[3])).max() > 2


def test_an_adapter_that_does_not_fit_fails_its_own_picture_by_name(
    ticking: Ticking, tmp_path: Path
) -> None:
    wide = made.written(made.query(inputs=640, outputs=640), tmp_path)
    ticking.draw(1)
    ticking.tick()  # so that the files are read beside the ticks
    ticking.draw(2, adapters=at(wide))
    ticking.draw(3, adapters=at(tmp_path / "gone.safetensors"))
    drawn = ticking.until_done(1, 2, 3)
    assert pixels(drawn[1]).any()
    for number, reason in ((2, "and this model's layer needs"), (3, "cannot be read")):
        said = drawn[number]
        assert isinstance(said, DrawFailed)
        assert (said.code, said.parameter) == ("adapter-invalid", "adapters")
        assert said.detail.startswith("adapter 'ink': ")
        assert reason in said.detail


def test_adapters_take_a_quarter_of_what_is_free_but_no_more_than_4_gib() -> None:
    assert budget_bytes(2**30) == 2**28
    assert budget_bytes(2**40) == 4 * 2**30
