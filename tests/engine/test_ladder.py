"""Every rung that is taken when memory is short, on a device of simulated size."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.autoencoders.vae import Decoder
from torch.nn.modules.module import register_module_forward_pre_hook

from server.domain.models import EngineModel
from server.domain.planning import Offer
from server.domain.plans import RESIDENT, Plan
from server.engine.loading import load
from server.engine.messages import DrawFailed, DrawPicture, Lend, TakeBack
from server.engine.residents import Residents
from tests.engine.test_ticks import pixels
from tests.engine.ticking import Ticking
from tests.requirements import require

GIB = 2**30
MIB = 2**20
# A CPU that behaves as a card would: what leaves it waits elsewhere, and layers can be streamed.
CARD = Offer(weights=frozenset({"full", "int8"}), streams=True, context_bytes=0)
SHORT: dict[str, Any] = {"num_inference_steps": 3, "prompt": "a fox"}


@pytest.fixture(
    scope="module",
    params=[
        "cpu",
        pytest.param(
            "cuda:0",
            marks=(
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
            ),
        ),
    ],
)
def device(request: pytest.FixtureRequest) -> str:
    """Where it is tried: on a card everything but its size is real."""
    return str(request.param)


@pytest.fixture
def card(models: dict[str, EngineModel], device: str) -> Iterator[Ticking]:
    ticking = Ticking(models, offer=CARD, device=device)
    ticking.limits(main_bytes=GIB)
    yield ticking
    ticking.close()


@contextmanager
def room_for(
    residents: Residents, kind: type[torch.nn.Module], size: Callable[[], int], each: int = 0
) -> Iterator[None]:
    """Let modules of `kind` run out of memory where models have taken more than `size()` bytes.

    This very error comes from inside the network of a device that is full; every row of the
    forward takes `each` bytes more.
    """

    def check(module: torch.nn.Module, arguments: Any) -> None:
        if not isinstance(module, kind):
            return
        held = sum(kept.family.weights.held_bytes for kept in residents.all())
        if held + each * len(arguments[0]) > size():
            raise torch.OutOfMemoryError("simulated: the device is full")

    hook = register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def sizes(models: dict[str, EngineModel], device: str) -> tuple[int, int, int]:
    """Bytes of the small model's network, encoders and VAE."""
    weights = load(models["tiny"], torch.device(device)).weights
    return tuple(part.size_bytes for part in (weights.network, weights.encoders, weights.vae))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def usual(models: dict[str, EngineModel], device: str) -> np.ndarray:
    """The picture where there is room for everything."""
    ticking = Ticking(models, device=device)
    try:
        ticking.draw(1, **SHORT)
        return pixels(ticking.until_done(1)[1])
    finally:
        ticking.close()


def drawn(ticking: Ticking, number: int, **values: Any) -> DrawPicture:
    ticking.draw(number, **{**SHORT, **values})
    ended = ticking.until_done(number)[number]
    assert isinstance(ended, DrawPicture), ended
    return ended


def test_other_models_leave_first_and_wait_in_main_memory(
    card: Ticking, sizes: tuple[int, int, int], usual: np.ndarray
) -> None:
    drawn(card, 1, model="another")
    with room_for(card.residents, UNet2DConditionModel, lambda: sum(sizes)):
        picture = drawn(card, 2)
    assert np.abs(pixels(picture) - usual).max() <= 1
    assert (picture.recipe.profile, picture.recipe.plan) == ("exact", "exact")
    assert card.beside == ("another",)


def test_then_the_text_encoders_leave(
    card: Ticking, sizes: tuple[int, int, int], usual: np.ndarray
) -> None:
    network, _, vae = sizes
    with room_for(card.residents, UNet2DConditionModel, lambda: network + vae):
        picture = drawn(card, 1)
        again = drawn(card, 2, prompt="an owl")  # its words are read all the same
    assert np.abs(pixels(picture) - usual).max() <= 1
    assert again.recipe.profile == "exact"
    assert again.recipe.plan == "exact, encoders evicted"


def test_then_the_network_is_streamed(
    card: Ticking, sizes: tuple[int, int, int], usual: np.ndarray
) -> None:
    _, _, vae = sizes
    with room_for(card.residents, UNet2DConditionModel, lambda: vae):
        picture = drawn(card, 1)
        again = drawn(card, 2, prompt="an owl", seed=5)
    assert np.abs(pixels(picture) - usual).max() <= 1
    assert again.recipe.plan == "exact, encoders streamed, network streamed"


def test_fewer_rows_are_tried_before_any_of_that(
    card: Ticking, sizes: tuple[int, int, int]
) -> None:
    drawn(card, 1, model="another")
    for number in (2, 3, 4):
        card.draw(number, seed=number, **SHORT)
    both = 2 * sum(sizes)
    with room_for(card.residents, UNet2DConditionModel, lambda: both + 2 * MIB, each=MIB):
        ended = card.until_done(2, 3, 4)
    assert all(isinstance(one, DrawPicture) for one in ended.values())
    assert card.beside == ()


def test_a_picture_that_may_be_drawn_in_fewer_bits_is_when_nothing_else_helps(
    models: dict[str, EngineModel], sizes: tuple[int, int, int], usual: np.ndarray, device: str
) -> None:
    require("torchao", present=importlib.util.find_spec("torchao") is not None)
    card = Ticking(models, offer=replace(CARD, streams=False), device=device)
    card.limits(main_bytes=GIB)
    _, _, vae = sizes

    def room() -> int:
        """As much as the network in 8 bits takes, and no more."""
        small = [one for one in card.residents.all() if one.plan.weights == "int8"]
        return vae + sum(one.family.weights.network.size_bytes for one in small)

    try:
        with room_for(card.residents, UNet2DConditionModel, room):
            card.draw(1, profile="memory", **SHORT)
            card.draw(2, **SHORT)
            ended = card.until_done(1, 2)
        drawn(card, 3)  # the queue goes on
    finally:
        card.close()
    small, full = ended[1], ended[2]
    assert isinstance(small, DrawPicture), small
    assert small.recipe.profile == "memory"
    assert small.recipe.plan is not None
    assert small.recipe.plan.startswith("memory, int8")
    assert 0 < np.abs(pixels(small) - usual).mean() < 8
    assert isinstance(full, DrawFailed)
    assert full.code == "out-of-memory"
    assert "profile 'memory' would do with" in full.detail


def test_a_picture_that_may_be_decoded_in_tiles_is_when_nothing_else_helps(
    models: dict[str, EngineModel], device: str
) -> None:
    def too_large(module: torch.nn.Module, arguments: Any) -> None:
        if isinstance(module, Decoder) and max(arguments[0].shape[-2:]) > 64:
            raise torch.OutOfMemoryError("simulated")

    ticking = Ticking(models, device=device)
    hook = register_module_forward_pre_hook(too_large)
    large = {**SHORT, "width": 768, "height": 64, "num_inference_steps": 1}
    try:
        ticking.draw(1, profile="memory", **large)
        ticking.draw(2, **large)
        ended = ticking.until_done(1, 2)
    finally:
        hook.remove()
        ticking.close()
    tiled, whole = ended[1], ended[2]
    assert isinstance(tiled, DrawPicture), tiled
    assert tiled.recipe.plan == "memory, tiled decode"
    assert isinstance(whole, DrawFailed)
    assert whole.code == "out-of-memory"


def test_a_model_that_made_room_for_a_loan_is_held_in_full_after_it(
    card: Ticking, models: dict[str, EngineModel], sizes: tuple[int, int, int]
) -> None:
    full = card.residents.planner.needed_bytes(models["tiny"], RESIDENT, 64 * 64)
    card.limits(device_bytes=full + MIB, main_bytes=GIB)
    card.chore(Lend(chore=9, size_bytes=MIB + sizes[1] // 2))
    card.tick()
    beside = drawn(card, 1)
    assert "encoders" in str(beside.recipe.plan)
    assert "encoders" in str(drawn(card, 2, seed=2).recipe.plan)
    card.chore(TakeBack(chore=9))
    after = drawn(card, 3)
    assert after.recipe.plan == "exact"
    assert np.abs(pixels(after) - pixels(beside)).max() <= 1


def test_who_allows_fewer_bits_is_not_drawn_with_a_streamed_network(
    card: Ticking, models: dict[str, EngineModel]
) -> None:
    require("torchao", present=importlib.util.find_spec("torchao") is not None)
    small, full = (
        card.residents.planner.needed_bytes(
            models["tiny"], Plan(weights=weights, encoders="streamed"), 64 * 64
        )
        for weights in ("int8", "full")
    )
    card.limits(device_bytes=(small + full) // 2, main_bytes=GIB)
    exact = drawn(card, 1)
    assert exact.recipe.plan == "exact, encoders streamed, network streamed"
    assert str(drawn(card, 2, profile="memory").recipe.plan).startswith("memory, int8")
    assert drawn(card, 3, seed=2).recipe.plan == exact.recipe.plan


def test_what_fits_in_no_way_fails_with_what_would_help_and_the_queue_goes_on(
    card: Ticking,
) -> None:
    card.draw(1, **SHORT)
    with room_for(card.residents, UNet2DConditionModel, lambda: -1):
        failed = card.until_done(1)[1]
    assert isinstance(failed, DrawFailed)
    assert failed.code == "out-of-memory"
    assert "a smaller picture needs less" in failed.detail
    assert "profile 'memory'" in failed.detail
    drawn(card, 2)
