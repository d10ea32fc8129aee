"""What the drawing loop decides tick by tick, with a real model and a real socket."""

from __future__ import annotations

import io
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.autoencoders.vae import Decoder, Encoder
from PIL import Image
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from server.domain.models import EngineModel
from server.engine import tiny
from server.engine.families.base import Conditioning, Trajectory
from server.engine.families.sdxl import SdxlFamily
from server.engine.messages import DrawFailed, DrawPicture, Residents
from tests.engine.ticking import Ticking, memory_for

LONG: dict[str, Any] = {"num_inference_steps": 60}
SHORT: dict[str, Any] = {"num_inference_steps": 4}


@pytest.fixture
def ticking(models: dict[str, EngineModel]) -> Iterator[Ticking]:
    loop = Ticking(models)
    yield loop
    loop.close()


def pixels(said: DrawPicture | DrawFailed) -> np.ndarray:
    assert isinstance(said, DrawPicture), said
    return np.asarray(Image.open(io.BytesIO(said.data))).astype(int)


def test_a_new_picture_is_in_the_next_tick_and_short_ones_overtake(ticking: Ticking) -> None:
    ticking.draw(1, **LONG)
    ticking.tick(3)
    assert ticking.steps(1) == 3
    ticking.draw(2, seed=2, **SHORT)
    ticking.tick()
    assert ticking.steps(2) == 1
    ticking.tick(3)
    assert [row.draw for row in ticking.rows] == [1]  # four ticks for four steps
    assert 3 <= ticking.steps(1) <= 7
    ticking.until_done(1, 2)


def test_a_picture_in_company_is_the_picture_alone(ticking: Ticking) -> None:
    settings: list[dict[str, Any]] = [
        {"prompt": "a cat", "scheduler": "euler_a", "num_inference_steps": 9},
        {"prompt": "a robot", "scheduler": "lcm", "guidance_scale": 1.0},
        {"scheduler": "heun", "negative_prompt": "a hat", "guidance_scale": 7.0},
        {"scheduler": "dpmpp_2m_sde", "num_inference_steps": 7, "seed": 9},
    ]
    for number, values in enumerate(settings, 1):
        ticking.draw(number, **values)
        ticking.tick()
    together = ticking.until_done(1, 2, 3, 4)
    for number, values in enumerate(settings, 1):
        ticking.draw(10 + number, **values)
        alone = ticking.until_done(10 + number)[10 + number]
        assert np.abs(pixels(together[number]) - pixels(alone)).max() <= 1


def test_a_cancelled_picture_takes_no_further_step(ticking: Ticking) -> None:
    ticking.draw(1, **LONG)
    ticking.draw(2, seed=2, **LONG)
    ticking.tick(6)
    before = max(ticking.progress_of(2), default=0)
    ticking.cancel(2)
    ticking.until_done(1)
    assert ticking.steps(2) == 0
    assert max(ticking.progress_of(2), default=0) <= before + 6
    assert 2 not in {message.draw for message in ticking.said if isinstance(message, DrawPicture)}


def test_sizes_of_different_shape_take_turns(ticking: Ticking) -> None:
    ticking.draw(1, width=64, **LONG)
    ticking.draw(2, width=128, **SHORT)
    ticking.tick(4)
    assert [row.draw for row in ticking.rows] == [1]
    assert ticking.steps(1) == 0
    ended = ticking.until_done(1, 2)
    assert (pixels(ended[1]).shape, pixels(ended[2]).shape) == ((64, 64, 3), (64, 128, 3))


def test_pictures_of_two_models_are_drawn_one_model_after_the_other(ticking: Ticking) -> None:
    ticking.draw(1, **LONG)
    ticking.tick()
    ticking.draw(2, model="another", **SHORT)
    ticking.draw(3, seed=3, **SHORT)
    ticking.until_done(3)
    assert ticking.steps(1) < 60
    assert ticking.steps(2) == 0
    ticking.until_done(1, 2)


def test_the_curve_is_measured_with_real_work_and_told(
    ticking: Ticking, models: dict[str, EngineModel]
) -> None:
    for number in range(1, 5):
        ticking.draw(number, seed=number, num_inference_steps=20)
    ended = ticking.until_done(1, 2, 3, 4)
    points = {point.rows: point for point in ticking.measured()}
    assert {2, 4} <= points.keys()
    assert all(point.fingerprint == models["tiny"].fingerprint for point in points.values())
    assert all(
        isinstance(said, DrawPicture) and 0 < said.device_seconds <= said.duration_seconds
        for said in ended.values()
    )
    again = Ticking(models)
    again.knows(tuple(points.values()))
    again.draw(1)
    again.tick()
    curve = again.rows[0].curve
    assert {rows: curve.seconds(rows) for rows in points} == {
        rows: point.seconds for rows, point in points.items()
    }
    again.close()


def test_without_memory_for_all_rows_the_tick_halves_them_and_goes_on(ticking: Ticking) -> None:
    numbers = range(1, 5)
    for number in numbers:
        ticking.draw(number, seed=number, num_inference_steps=20)
    ticking.tick(1)
    with memory_for(2, UNet2DConditionModel) as tried:
        split = ticking.until_done(*numbers)
    assert max(tried) > 2  # it was tried, and after that no more
    assert sum(size > 2 for size in tried) <= 3
    for number in numbers:
        ticking.draw(10 + number, seed=number, num_inference_steps=20)
        alone = ticking.until_done(10 + number)[10 + number]
        assert np.abs(pixels(split[number]) - pixels(alone)).max() <= 1


def test_memory_that_only_a_decoding_takes_is_waited_for(ticking: Ticking) -> None:
    ran_out = threading.Event()
    sizes: list[int] = []

    def full_beside_a_decoding(module: torch.nn.Module, arguments: Any) -> None:
        if isinstance(module, Decoder):
            ran_out.wait(30)
        if isinstance(module, UNet2DConditionModel):
            sizes.append(len(arguments[0]))
            if len(arguments[0]) == 4 and not ran_out.is_set():
                ran_out.set()
                raise torch.OutOfMemoryError("simulated")

    hook = register_module_forward_pre_hook(full_beside_a_decoding)
    try:
        ticking.draw(1, **SHORT)
        ticking.tick(4)
        for number in (2, 3):
            ticking.draw(number, seed=number, num_inference_steps=20)
        ended = ticking.until_done(1, 2, 3)
    finally:
        hook.remove()
    first = sizes.index(4)
    assert sizes[first : first + 2] == [4, 4]  # whole again, not halved
    assert all(isinstance(said, DrawPicture) for said in ended.values())


def test_a_picture_that_fits_not_even_alone_fails_alone(ticking: Ticking) -> None:
    ticking.draw(1, guidance_scale=1.0, **LONG)
    ticking.draw(2, guidance_scale=5.0, **LONG)
    with memory_for(1, UNet2DConditionModel):
        ended = ticking.until_done(1, 2)
    assert isinstance(ended[1], DrawPicture)
    failed = ended[2]
    assert isinstance(failed, DrawFailed)
    assert failed.code == "out-of-memory"
    assert "smaller" in failed.detail


def test_a_picture_that_cannot_be_decoded_beside_the_ticks_is_decoded_between_them(
    ticking: Ticking,
) -> None:
    """Memory is short once, while the next picture is drawn; between ticks there is room."""
    refused: list[torch.nn.Module] = []

    def full_once(module: torch.nn.Module, _: object) -> None:
        if isinstance(module, Decoder) and not refused:
            refused.append(module)
            raise torch.OutOfMemoryError("simulated")

    hook = register_module_forward_pre_hook(full_once)
    try:
        ticking.draw(1, **SHORT)
        ended = ticking.until_done(1)
    finally:
        hook.remove()
    assert len(refused) == 1
    assert isinstance(ended[1], DrawPicture)


def test_an_error_in_company_ends_only_its_own_picture(ticking: Ticking) -> None:
    ticking.draw(1, seed=1, **LONG)
    ticking.draw(2, seed=2, prompt="a curse", **LONG)
    ticking.tick(2)
    cursed = next(row.trajectory for row in ticking.rows if row.draw == 2)
    good = cursed.encoded.positive
    too_narrow = Conditioning(good.prompt_embeds, good.pooled_prompt_embeds[:, :-1])
    cursed.encoded = replace(cursed.encoded, positive=too_narrow)
    ended = ticking.until_done(1, 2)
    assert isinstance(ended[1], DrawPicture)
    failed = ended[2]
    assert isinstance(failed, DrawFailed)
    assert "RuntimeError" in failed.detail


@contextmanager
def slow_decoder(seconds: float) -> Iterator[threading.Event]:
    """Let every decoding take a while; yields what is set as long as one is under way."""
    decoding = threading.Event()

    def begin(module: torch.nn.Module, _: object) -> None:
        if isinstance(module, Decoder):
            decoding.set()
            threading.Event().wait(seconds)

    def end(module: torch.nn.Module, *_: object) -> None:
        if isinstance(module, Decoder):
            decoding.clear()

    hooks = [register_module_forward_pre_hook(begin), register_module_forward_hook(end)]
    try:
        yield decoding
    finally:
        for hook in hooks:
            hook.remove()


def test_a_model_that_must_go_is_gone_before_another_is_loaded(
    models: dict[str, EngineModel],
) -> None:
    changed = models["tiny"].model_copy(update={"fingerprint": "tiny-2"})
    ticking = Ticking(models | {"changed": changed})
    with slow_decoder(2.0) as decoding:
        ticking.draw(1, **SHORT)
        ticking.tick(3)
        old = weakref.ref(ticking.rows[0].family)
        ticking.tick()
        assert decoding.wait(10)
        ticking.draw(2, model="changed", **SHORT)
        ticking.tick()
        assert old() is None
        ended = ticking.until_done(1, 2)
    ticking.close()
    assert all(isinstance(said, DrawPicture) for said in ended.values())


def test_memory_that_a_decoding_takes_is_waited_for(ticking: Ticking) -> None:
    with slow_decoder(0.3) as decoding:

        def full(module: torch.nn.Module, _: object) -> None:
            if isinstance(module, UNet2DConditionModel) and decoding.is_set():
                raise torch.OutOfMemoryError("simulated")

        hook = register_module_forward_pre_hook(full)
        try:
            ticking.draw(1, **SHORT)
            ticking.tick(4)
            assert decoding.wait(10)
            ticking.draw(2, **SHORT)
            ended = ticking.until_done(1, 2)
        finally:
            hook.remove()
    assert all(isinstance(said, DrawPicture) for said in ended.values())


def test_slow_previews_hold_up_no_finished_picture(models: dict[str, EngineModel]) -> None:
    ticking = Ticking(models, preview_interval_seconds=0.001)
    finished = threading.Event()
    late: list[torch.nn.Module] = []

    def wait_for_it(module: torch.nn.Module, _: object) -> None:
        if isinstance(module, Encoder) and not finished.wait(10):
            late.append(module)

    hook = register_module_forward_pre_hook(wait_for_it)
    try:
        for number in range(1, 4):
            ticking.draw(number, seed=number, **LONG)
        ticking.tick(8)
        ticking.draw(4, **SHORT)
        ticking.until_done(4)
        finished.set()
    finally:
        hook.remove()
    ticking.until_done(1, 2, 3)
    ticking.close()
    assert not late


class Pensive(SdxlFamily):
    """A model whose previews are made when the test says so."""

    may_look = threading.Event()
    seen: ClassVar[list[int]] = []

    def preview(self, trajectory: Trajectory) -> torch.Tensor:
        assert self.may_look.wait(60)
        self.seen.append(trajectory.step_index)
        return super().preview(trajectory)


def test_a_late_preview_shows_the_step_that_it_was_asked_for(
    models: dict[str, EngineModel],
) -> None:
    ticking = Ticking(
        models, preview_interval_seconds=0.001, load=lambda *_: Pensive(tiny.make_sdxl())
    )
    try:
        ticking.draw(1, **LONG)
        ticking.tick(2)
        asked = ticking.steps(1)
        ticking.tick(4)
        assert Pensive.seen == []
        Pensive.may_look.set()
        ticking.until_done(1)
    finally:
        Pensive.may_look.set()
        ticking.close()
    assert Pensive.seen[0] <= asked


def test_no_model_is_loaded_for_a_source_that_cannot_be_read(ticking: Ticking) -> None:
    ticking.draw(1, image=b"no picture")
    failed = ticking.until_done(1)[1]
    assert isinstance(failed, DrawFailed)
    assert failed.code == "unreadable-image"
    assert not any(isinstance(message, Residents) for message in ticking.said)
