"""Whole pictures with adapters are those of diffusers' own pipelines with `set_adapters`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from server.domain.errors import RequestRefusedError
from server.domain.images import ResolvedRequest
from server.engine import tiny
from server.engine.adapters.adapter import Adapter
from server.engine.adapters.mix import Mix
from server.engine.families.base import FamilyPipeline, Pictures, Trajectory
from server.engine.families.flux import FluxFamily
from server.engine.families.sdxl import SdxlFamily
from tests.engine import flux_reference, sdxl_reference
from tests.engine.adapters import made
from tests.engine.drawing import difference, finish, request

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Studio:
    """A family with adapters of its own, and diffusers' pipeline with the same ones."""

    family: FamilyPipeline
    theirs: Any
    adapters: Mapping[str, Adapter]
    reference: Callable[[Any, ResolvedRequest], torch.Tensor]
    request: Callable[..., ResolvedRequest]

    def mix(self, names: dict[str, float]) -> Mix:
        return tuple((self.adapters[name], weight) for name, weight in names.items())

    @torch.inference_mode()
    def begin(self, asked: ResolvedRequest, names: dict[str, float]) -> Trajectory:
        mix = self.mix(names)
        return self.family.prepare(asked, self.family.encode(asked, mix), 0, Pictures(), mix)

    def expected(self, asked: ResolvedRequest, names: dict[str, float]) -> torch.Tensor:
        if not names:
            self.theirs.disable_lora()
            drawn = self.reference(self.theirs, asked)
            self.theirs.enable_lora()
            return drawn
        self.theirs.set_adapters(list(names), list(names.values()))
        return self.reference(self.theirs, asked)


def _studio(pipeline: Any, ours: FamilyPipeline, files: Mapping[str, Path], **tools: Any) -> Studio:
    """Return both sides with the adapters of the same files."""
    theirs = deepcopy(pipeline)
    for name, path in files.items():
        made.load_with_diffusers(theirs, path, name)
    adapters = {name: ours.read_adapter(path) for name, path in files.items()}
    return Studio(ours, theirs, adapters, **tools)


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("sdxl")
    pipeline = tiny.make_sdxl()
    text = {name: getattr(pipeline, name) for name in made.TEXT}
    # Diffusers reads no adapter of the projection after the second text encoder.
    whole = made.adapter(
        {"unet": pipeline.unet, **text},
        1,
        alpha=2,
        wanted=lambda path: "text_projection" not in path,
    )
    attention = made.adapter({"unet": pipeline.unet}, 2, rank=8, wanted=made.attention, size=0.1)
    convolutions = made.adapter({"unet": pipeline.unet}, 3, rank=5, wanted=made.convolutions)
    return _studio(
        pipeline,
        SdxlFamily(deepcopy(pipeline)),
        {
            "whole": made.written(made.released_sdxl(whole), folder),
            "attention": made.written(made.peft(attention), folder),
            "convolutions": made.written(made.peft(convolutions), folder),
        },
        reference=sdxl_reference.latents,
        request=request,
    )


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("flux")
    pipeline = tiny.make_flux()
    pipeline.text_encoder_2.eval()  # T5 drops out, else
    parts = {"transformer": pipeline.transformer, "text_encoder": pipeline.text_encoder}
    whole = made.adapter(parts, 1)
    attention = made.adapter({"transformer": pipeline.transformer}, 2, rank=8, size=0.1)

    def asked(**values: Any) -> ResolvedRequest:
        return request(
            model="tiny-flux", max_sequence_length=32, **{"guidance_scale": 3.5, **values}
        )

    return _studio(
        pipeline,
        FluxFamily(deepcopy(pipeline)),
        {
            "whole": made.written(made.peft(whole), folder),
            "attention": made.written(made.peft(attention), folder),
        },
        reference=flux_reference.latents_of,
        request=asked,
    )


def _check(studio: Studio, rows: list[tuple[ResolvedRequest, dict[str, float]]]) -> None:
    """Draw `rows` in one batch and compare each with diffusers."""
    trajectories = [studio.begin(asked, names) for asked, names in rows]
    finish(studio.family, trajectories)
    for trajectory, (asked, names) in zip(trajectories, rows, strict=True):
        assert difference(trajectory.latents, studio.expected(asked, names)) < TOLERANCE


def test_sdxl_pictures_of_different_mixes_in_one_batch(sdxl: Studio) -> None:
    _check(
        sdxl,
        [
            (sdxl.request(seed=1, guidance_scale=3.0), {"whole": 0.8}),
            (sdxl.request(seed=2, guidance_scale=3.0, negative_prompt="a hat"), {"whole": 0.8}),
            (sdxl.request(seed=3, guidance_scale=2.0), {}),
            (sdxl.request(seed=4, guidance_scale=1.0), {"attention": 0.7}),  # one row
            (
                sdxl.request(seed=5, guidance_scale=2.0, num_inference_steps=6),
                {"attention": 0.5, "convolutions": 0.4, "whole": 0.3},
            ),
        ],
    )


def test_flux_pictures_of_different_mixes_in_one_batch(flux: Studio) -> None:
    _check(
        flux,
        [
            (flux.request(seed=1), {"whole": 0.8}),
            (flux.request(seed=2), {}),
            (flux.request(seed=3, true_cfg_scale=2.0, negative_prompt="a hat"), {"whole": 0.8}),
            (flux.request(seed=4, num_inference_steps=6), {"attention": 0.7, "whole": -0.3}),
        ],
    )


def test_one_prompt_is_kept_once_for_each_way_it_is_read(sdxl: Studio) -> None:
    asked = sdxl.request(prompt="a quiet harbour")

    def encoded(names: dict[str, float]) -> torch.Tensor:
        with torch.inference_mode():
            return sdxl.family.encode(asked, sdxl.mix(names)).positive.prompt_embeds

    plain = encoded({})
    with_text = encoded({"whole": 1.0})
    assert encoded({"whole": 1.0}) is with_text
    assert encoded({}) is plain
    assert encoded({"attention": 1.0}) is plain  # it changes no text encoder
    assert difference(with_text, plain) > 0.01
    assert difference(encoded({"whole": 0.5}), with_text) > 0.01


@pytest.mark.parametrize("prompt", ["a (red:1.4) cat", "a blue robot " * 40])
def test_prompts_of_many_passes_are_read_with_the_mix(sdxl: Studio, prompt: str) -> None:
    asked = sdxl.request(prompt=prompt)
    theirs = SdxlFamily(sdxl.theirs)
    sdxl.theirs.set_adapters(["whole"], [0.8])
    with torch.inference_mode():
        ours = sdxl.family.encode(asked, sdxl.mix({"whole": 0.8}))
        expected = theirs.encode(asked)
    assert difference(ours.positive.prompt_embeds, expected.positive.prompt_embeds) < TOLERANCE
    assert (
        difference(ours.positive.pooled_prompt_embeds, expected.positive.pooled_prompt_embeds)
        < TOLERANCE
    )


def test_too_much_rank_is_refused_before_anything_is_drawn(sdxl: Studio, flux: Studio) -> None:
    for studio in (sdxl, flux):
        mix = studio.mix({"attention": 1.0}) * 17
        with pytest.raises(RequestRefusedError, match="rank 136 together, and 128 is the most"):
            studio.family.encode(studio.request(), mix)
