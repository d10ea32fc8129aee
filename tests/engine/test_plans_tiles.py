"""Decoding in tiles: the memory of one, nearly the picture of a whole decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from torch.nn.functional import interpolate

from server.domain.images import Profile
from server.domain.plans import RESIDENT, Plan
from server.engine.families.base import FamilyPipeline, Pictures, Trajectory
from server.engine.families.flux import FluxFamily
from server.engine.families.sdxl import SdxlFamily
from server.engine.plans.tiles import OVERLAP, TILE, decode_in_tiles
from tests.engine.drawing import difference, finish, request

TILED = Plan(profile=Profile.MEMORY, decode="tiled")
SIDE = 640  # pixels: two tiles each way


class Sizes:
    """A decoder that enlarges, and notes what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        self.seen.append((latents.shape[-2], latents.shape[-1]))
        return interpolate(latents[:, :3], scale_factor=8)


@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (65, 20), (128, 128), (97, 150), (40, 200)]
)
def test_a_decoder_that_looks_at_one_place_alone_gives_the_whole_picture(
    height: int, width: int
) -> None:
    latents = torch.randn(1, 4, height, width, generator=torch.Generator().manual_seed(1))
    sizes = Sizes()
    tiled = decode_in_tiles(sizes, latents)
    assert difference(tiled, interpolate(latents[:, :3], scale_factor=8)) < 1e-5
    assert all(max(seen) <= TILE for seen in sizes.seen)


def test_neighbours_share_at_least_the_overlap_and_no_tile_is_wasted() -> None:
    for side in range(TILE + 1, 400):
        sizes = Sizes()
        decode_in_tiles(sizes, torch.zeros(1, 4, side, 8))
        step = TILE - OVERLAP
        assert len(sizes.seen) == -(-(side - OVERLAP) // step)


def test_small_latents_are_decoded_as_one_tile_and_the_same() -> None:
    latents = torch.randn(1, 4, 16, 16)
    assert torch.equal(decode_in_tiles(Sizes(), latents), Sizes()(latents))


@pytest.fixture(scope="module", params=["sdxl", "flux"])
def family(request: pytest.FixtureRequest, model_folders: dict[str, Path]) -> FamilyPipeline:
    kind = SdxlFamily if request.param == "sdxl" else FluxFamily
    return kind(DiffusionPipeline.from_pretrained(model_folders[request.param]))


@torch.inference_mode()
def drawn(family: FamilyPipeline, plan: Plan) -> Trajectory:
    asked = request(width=SIDE, height=SIDE, num_inference_steps=1, guidance_scale=1.0)
    row = family.prepare(asked, family.encode(asked), 0, Pictures(), plan=plan)
    finish(family, [row])
    return row


@torch.inference_mode()
def test_whole_and_tiled_pictures_are_decoded_side_by_side(family: FamilyPipeline) -> None:
    whole, tiled = drawn(family, RESIDENT), drawn(family, TILED)
    assert torch.equal(whole.latents, tiled.latents)
    first = family.decode(whole)
    pieces = family.decode(tiled).int() - first.int()
    assert torch.equal(family.decode(whole), first)
    # Random weights see their tile's edge as nothing real does; most of it stays alike even so.
    assert 0 < pieces.abs().float().mean() < 8
    assert pieces.abs().float().mean() < 0.2 * first.float().std()


@torch.inference_mode()
def test_no_decoder_call_is_larger_than_a_tile(family: FamilyPipeline) -> None:
    row = drawn(family, TILED)
    vae: Any = family._pipeline.vae  # type: ignore[attr-defined]  # noqa: SLF001 - what it is given
    seen: list[int] = []
    hook = vae.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-1]))
    try:
        family.decode(row)
    finally:
        hook.remove()
    assert len(seen) == 4
    assert max(seen) == TILE
