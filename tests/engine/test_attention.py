"""The kernel that computes attention: right ones alone, measured once, kept, and worth it."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline

from server.domain.models import EngineModel
from server.domain.row_times import RowTime
from server.engine import tiny
from server.engine.attention.choice import USUAL, Measured, measured_before
from server.engine.attention.kernels import Kernel, kernels, usual
from server.engine.attention.measuring import Recorder, Shape, seconds_of
from server.engine.attention.processors import FluxProcessor, UnetProcessor
from server.engine.attention.suiting import Attention
from server.engine.families.base import FamilyPipeline
from server.engine.families.flux import FluxFamily
from server.engine.families.sdxl import SdxlFamily
from tests.engine.drawing import begin, difference, finish, request
from tests.engine.ticking import Ticking

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
ON_A_CARD = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
SELF = Shape(rows=2, heads=3, queries=96, keys=96, channels=32)
CROSS = Shape(rows=2, heads=3, queries=96, keys=77, channels=32)


@pytest.fixture(scope="module", params=["sdxl", "flux", "flux-kontext"])
def family(request: pytest.FixtureRequest, model_folders: dict[str, Path]) -> FamilyPipeline:
    kind = SdxlFamily if request.param == "sdxl" else FluxFamily
    return kind(DiffusionPipeline.from_pretrained(model_folders[request.param]))


@torch.inference_mode()
def predicted(family: FamilyPipeline, kernel: Kernel | None) -> torch.Tensor:
    row = begin(family, request())
    family.attention.use(kernel)
    try:
        return family.predict([row])[0]
    finally:
        family.attention.use(None)


@pytest.mark.parametrize("name", sorted(kernels(CPU)))
def test_every_kernel_predicts_what_diffusers_own_processors_do(
    family: FamilyPipeline, name: str
) -> None:
    ours = predicted(family, kernels(CPU)[name])
    assert difference(ours, predicted(family, None)) < 1e-4


def test_all_attention_of_a_forward_goes_through_the_kernel(family: FamilyPipeline) -> None:
    recorder = Recorder()
    predicted(family, recorder)
    network: Any = family.attention._network  # noqa: SLF001 - what is counted are its layers
    layers = [layer for layer in network.modules() if hasattr(layer, "to_q")]
    assert sum(recorder.shapes.values()) == len(layers)


def test_a_network_has_a_kernel_to_itself(family: FamilyPipeline) -> None:
    other = SdxlFamily(tiny.make_sdxl())
    family.attention.use(usual)
    kinds = {type(each) for each in other.attention._network.attn_processors.values()}  # noqa: SLF001
    assert not kinds & {UnetProcessor, FluxProcessor}
    family.attention.use(None)


def test_right_kernels_are_timed() -> None:
    taken = seconds_of(kernels(CPU), Counter({SELF: 2, CROSS: 1}), CPU, torch.float32)
    assert taken.keys() == kernels(CPU).keys()
    assert all(0 < seconds < 1 for seconds in taken.values())


def test_a_kernel_that_computes_something_else_is_not_used() -> None:
    def nearly(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return usual(query * 1.01, key, value)

    def raising(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("no kernel image for this card")

    def smaller(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return usual(query, key, value).half()

    tried = {USUAL: usual, "nearly": nearly, "raising": raising, "smaller": smaller}
    assert seconds_of(tried, {SELF: 1}, CPU, torch.float32).keys() == {USUAL}


def test_a_kernel_that_cannot_do_one_of_the_shapes_is_not_used() -> None:
    def selfish(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        if query.shape != key.shape:
            raise ValueError("one length of tokens")
        return usual(query, key, value)

    tried = {USUAL: usual, "selfish": selfish}
    for shapes in ({SELF: 1, CROSS: 1}, {CROSS: 1, SELF: 1}):
        assert seconds_of(tried, shapes, CPU, torch.float32).keys() == {USUAL}


def test_a_kernel_that_runs_out_of_memory_while_it_is_timed_is_not_used() -> None:
    calls: list[int] = []

    def hungry(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 2:  # others took the memory meanwhile
            raise torch.OutOfMemoryError("CUDA out of memory")
        return usual(query, key, value)

    tried = {USUAL: usual, "hungry": hungry}
    assert seconds_of(tried, {SELF: 1, CROSS: 1}, CPU, torch.float32).keys() == {USUAL}


def test_without_memory_to_measure_in_nothing_is_found() -> None:
    endless = Shape(rows=1, heads=1, queries=2**48, keys=1, channels=1)
    assert seconds_of(kernels(CPU), {endless: 1}, CPU, torch.float32) == {}


def test_of_two_kernels_the_slower_is_told_apart_by_its_work_not_by_its_turn() -> None:
    def thrice(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            usual(query, key, value)
        return usual(query, key, value)

    for tried in ({"thrice": thrice, USUAL: usual}, {USUAL: usual, "thrice": thrice}):
        taken = seconds_of(tried, {SELF: 1}, CPU, torch.float32)
        assert taken["thrice"] > 1.5 * taken[USUAL]


def measured(**seconds: float) -> Measured:
    tried = tuple(sorted({"cudnn", USUAL, *seconds} - {"forward"}))
    return Measured("here", tried, {k: v for k, v in seconds.items() if k != "forward"}, 1.0)


def test_another_kernel_is_chosen_only_if_a_forward_feels_it() -> None:
    assert measured(torch=0.20, flash=0.16, math=0.30).chosen == "flash"
    assert measured(torch=0.20, flash=0.18).chosen == USUAL  # 2 % of the forward
    assert measured(torch=0.20).chosen == USUAL


def test_what_was_measured_comes_back_as_it_was() -> None:
    first = measured(torch=0.2, flash=0.16)
    other = Measured("there", ("math", USUAL), {USUAL: 0.5, "math": 0.1}, 2.0)
    row = RowTime(hardware="h", model="tiny", fingerprint="f", bucket="b", rows=1, seconds=1)
    points = [*first.points("h"), row, *other.points("h")]
    assert list(measured_before(points)) == [first, other]


class Suited:
    """What the loop has of attention, and what it learned."""

    def __init__(self, known: tuple[RowTime, ...] = ()) -> None:
        self.learned: list[RowTime] = []
        self.attention = Attention(CPU, "h", lambda: known, self.learned.append)

    def step(self, family: FamilyPipeline) -> None:
        row = begin(family, request())
        with torch.inference_mode(), self.attention.suited(family.attention, row.latents):
            family.predict([row])


def test_it_is_measured_once_and_never_again_with_what_was_kept(family: FamilyPipeline) -> None:
    first = Suited()
    first.step(family)
    known = tuple(first.learned)
    (found,) = measured_before(known)
    assert set(found.seconds) == set(kernels(CPU))
    first.step(family)
    assert len(first.learned) == len(known)
    later = Suited(known)
    later.step(family)
    assert later.learned == []


def test_what_was_kept_decides(family: FamilyPipeline) -> None:
    first = Suited()
    first.step(family)
    (found,) = measured_before(first.learned)
    fast = Measured(found.where, found.tried, {USUAL: 1.0, "math": 0.1}, 2.0)
    later = Suited(tuple(fast.points("h")))
    later.step(family)
    kinds = {type(each) for each in family.attention._network.attn_processors.values()}  # noqa: SLF001
    assert kinds & {UnetProcessor, FluxProcessor}
    family.attention.use(None)


def test_a_kernel_that_came_later_is_measured(family: FamilyPipeline) -> None:
    first = Suited()
    first.step(family)
    (found,) = measured_before(first.learned)
    without = Measured(found.where, ("math", USUAL), dict(found.seconds), found.forward)
    later = Suited(tuple(without.points("h")))
    later.step(family)
    assert later.learned


def test_the_worker_tells_the_server_what_it_measured(models: dict[str, EngineModel]) -> None:
    ticking = Ticking(models)
    points: list[RowTime] = []
    try:
        ticking.draw(1)
        ticking.until_done(1)
        for _ in range(1000):
            points = [m.point for m in ticking.said if m.type == "measured"]
            if measured_before(points):
                break
            threading.Event().wait(0.01)
        (found,) = measured_before(points)
    finally:
        ticking.close()
    assert found.where.startswith("UNet2DConditionModel in float32, heads of 16")
    assert 0 < found.seconds[USUAL] < found.forward


@pytest.mark.gpu
@ON_A_CARD
@pytest.mark.parametrize("channels", [64, 128])
def test_the_kernels_of_a_card_compute_the_right_thing(channels: int) -> None:
    shape = Shape(rows=2, heads=10, queries=4096, keys=4096, channels=channels)
    usable = seconds_of(kernels(CUDA), {shape: 1}, CUDA, torch.bfloat16)
    assert {USUAL, "flash", "efficient"} <= usable.keys()


@pytest.mark.gpu
@ON_A_CARD
@pytest.mark.parametrize("name", sorted(kernels(CUDA)) if torch.cuda.is_available() else [USUAL])
def test_every_kernel_of_a_card_draws_the_picture(name: str) -> None:
    pipeline = tiny.make_flux().to(CUDA, torch.bfloat16)
    family = FluxFamily(pipeline)
    exact, row = begin(family, request()), begin(family, request())
    finish(family, [exact])
    family.attention.use(kernels(CUDA)[name])
    finish(family, [row])
    assert difference(row.latents.float(), exact.latents.float()) < 0.2
