"""Blocks left out: as diffusers' FirstBlockCache does it, each picture for itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from diffusers.hooks import FirstBlockCacheConfig
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.images import Profile
from server.domain.models import EngineModel
from server.domain.plans import RESIDENT, Plan
from server.engine.adapters.mix import Mix
from server.engine.families.base import Pictures, Trajectory
from server.engine.families.flux import FluxFamily
from server.engine.loading import load
from server.engine.plans.block_cache import THRESHOLD, BlockCache
from tests.engine.adapters import made
from tests.engine.drawing import difference, draw_together, finish, held, request

CACHED = Plan(profile=Profile.FAST, block_cache=True)
TOLERANCE = 1e-4
STEPS = 12
LOOSE = 0.38  # leaves out some of these steps with random weights, and not all


@pytest.fixture(scope="module")
def flux(model_folders: dict[str, Path]) -> FluxFamily:
    return FluxFamily(FluxPipeline.from_pretrained(model_folders["flux"], dtype=torch.float32))


@pytest.fixture(scope="module")
def mixes(flux: FluxFamily) -> list[Mix]:
    network = flux._pipeline.transformer  # noqa: SLF001 - adapters are made for its layers
    adapters = [made.adapter({"transformer": network}, seed, rank=4) for seed in (1, 2)]
    return [(), ((adapters[0], 1.0),), ((adapters[1], 0.7), (adapters[0], -0.5))]


@torch.inference_mode()
def begun(
    family: FluxFamily, threshold: float | None, index: int = 0, mix: Mix = (), **values: Any
) -> Trajectory:
    asked = request(num_inference_steps=STEPS, guidance_scale=3.5, **values)
    plan = RESIDENT if threshold is None else CACHED
    row = family.prepare(asked, family.encode(asked, mix), index, Pictures(), mix, plan)
    if threshold is not None:
        row.cache = BlockCache(threshold)
    return row


def whole_passes(family: FluxFamily, rows: list[Trajectory]) -> int:
    """Draw `rows` and return how often a row went through the last block."""
    counted: list[int] = []
    last = family._pipeline.transformer.single_transformer_blocks[-1]  # noqa: SLF001
    hook = last.register_forward_hook(lambda _, __, out: counted.append(len(out[1])))
    try:
        finish(family, rows)
    finally:
        hook.remove()
    return sum(counted)


def test_the_plan_decides_which_pictures_have_a_cache(flux: FluxFamily) -> None:
    asked = request()
    with torch.inference_mode():
        encoded = flux.encode(asked)
        cached = flux.prepare(asked, encoded, 0, Pictures(), plan=CACHED).cache
        assert flux.prepare(asked, encoded, 0, Pictures()).cache is None
    assert cached is not None
    assert cached.threshold == THRESHOLD


@pytest.mark.parametrize("true_cfg_scale", [None, 2.0])
def test_without_any_tolerance_the_picture_is_exact(
    flux: FluxFamily, true_cfg_scale: float | None
) -> None:
    exact = begun(flux, None, true_cfg_scale=true_cfg_scale)
    strict = begun(flux, 0.0, true_cfg_scale=true_cfg_scale)
    finish(flux, [exact])
    finish(flux, [strict])
    assert difference(strict.latents, exact.latents) < TOLERANCE


def test_blocks_are_left_out_and_the_picture_stays_near(flux: FluxFamily) -> None:
    exact, cached = begun(flux, None), begun(flux, LOOSE)
    assert whole_passes(flux, [exact]) == STEPS
    passes = whole_passes(flux, [cached])
    assert 1 < passes < STEPS
    assert 0 < difference(cached.latents, exact.latents) < exact.latents.std().item()


@pytest.mark.parametrize("threshold", [0.3, LOOSE, 0.5])
def test_it_leaves_out_what_diffusers_own_cache_does(
    model_folders: dict[str, Path], threshold: float
) -> None:
    pipeline = FluxPipeline.from_pretrained(model_folders["flux"], dtype=torch.float32)
    ours = begun(FluxFamily(pipeline), threshold)
    finish(FluxFamily(pipeline), [ours])
    pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))
    theirs = begun(FluxFamily(pipeline), None)
    with pipeline.transformer.cache_context("one"):
        finish(FluxFamily(pipeline), [theirs])
    assert difference(ours.latents, theirs.latents) < TOLERANCE


WISHES = st.lists(
    st.tuples(
        st.sampled_from([None, 0.0, LOOSE, 0.5]),  # tolerance
        st.sampled_from([None, 2.0]),  # guidance with a second row
        st.integers(0, 2),  # mix
        st.integers(0, 5),  # the tick it comes at
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=8, deadline=None)
@given(wishes=WISHES)
def test_a_picture_takes_up_nothing_of_its_neighbours(
    flux: FluxFamily, mixes: list[Mix], wishes: list[tuple[Any, ...]]
) -> None:
    rows = [_wished(flux, mixes, index, wish) for index, wish in enumerate(wishes)]
    draw_together(flux, [(wish[-1], row) for wish, row in zip(wishes, rows, strict=True)])
    for index, (wish, row) in enumerate(zip(wishes, rows, strict=True)):
        alone = _wished(flux, mixes, index, wish)
        finish(flux, [alone])
        assert difference(row.latents, alone.latents) < TOLERANCE


def _wished(flux: FluxFamily, mixes: list[Mix], index: int, wish: tuple[Any, ...]) -> Trajectory:
    tolerance, true_cfg_scale, mix, _ = wish
    return begun(flux, tolerance, index, mixes[mix], true_cfg_scale=true_cfg_scale)


def test_a_prediction_that_is_made_again_changes_nothing(flux: FluxFamily) -> None:
    once, twice = begun(flux, LOOSE), begun(flux, LOOSE)
    finish(flux, [once])
    with torch.inference_mode():
        while not twice.is_done:
            flux.predict([twice])
            twice.advance(flux.predict([twice])[0])
    assert torch.equal(twice.latents, once.latents)


def test_a_row_says_when_it_left_blocks_out(flux: FluxFamily) -> None:
    row = begun(flux, LOOSE)
    skipped = []
    with torch.inference_mode():
        while not row.is_done:
            row.advance(flux.predict([row])[0])
            skipped.append(row.skipped_blocks)
    assert not skipped[0]
    assert True in skipped
    exact = begun(flux, None)
    finish(flux, [exact])
    assert not exact.skipped_blocks


def test_int8_weights_and_the_cache_go_together(models: dict[str, EngineModel]) -> None:
    both = Plan(profile=Profile.FAST, weights="int8", block_cache=True)
    family = held(models["tiny-flux"], both)
    assert isinstance(family, FluxFamily)
    small, cached = begun(family, None), begun(family, 0.0)
    finish(family, [small])
    finish(family, [cached])
    assert difference(small.latents, cached.latents) < TOLERANCE


def test_a_network_that_had_to_be_streamed_passes_all_its_blocks_as_one(
    models: dict[str, EngineModel],
) -> None:
    family = load(models["tiny-flux"], torch.device("cpu"))
    assert isinstance(family, FluxFamily)
    exact, row = begun(family, None), begun(family, 1e9)
    finish(family, [exact])
    with torch.inference_mode():
        for _ in range(2):
            row.advance(family.predict([row])[0])
    assert row.skipped_blocks
    forwards: list[int] = []
    # What streams the layers around the blocks begins with the network's own forward.
    family._pipeline.transformer.register_forward_hook(  # noqa: SLF001
        lambda *_: forwards.append(row.step_index)
    )
    with torch.inference_mode():
        family.weights.follow(Plan(encoders="streamed", offload="group"))
        finish(family, [row])
    assert forwards == list(range(2, STEPS))
    assert not row.skipped_blocks
