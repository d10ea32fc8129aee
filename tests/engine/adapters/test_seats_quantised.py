"""Adapters on int8 weights: what PEFT draws on the same weights, written out in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from server.engine import tiny
from server.engine.adapters.adapter import Adapter
from server.engine.adapters.mix import Mix
from server.engine.families.base import FamilyPipeline, Pictures, Trajectory
from server.engine.families.flux import FluxFamily
from server.engine.families.sdxl import SdxlFamily
from server.engine.plans.quantization import is_quantised, quantise
from tests.engine.adapters import made
from tests.engine.drawing import difference, request

CPU = torch.device("cpu")
TOLERANCE = 1e-4  # of the same int8 weights, by either way
OF_FULL_WEIGHTS = 0.05  # of the prediction's deviation: what int8 costs, with adapters or without


class Case:
    """A small model in int8, in full, and in full out of the int8 weights."""

    def __init__(self, family: Any, make: Any, component: str) -> None:
        self._family, self.component = family, component
        self._make: Callable[[], Any] = lambda: _settled(make())
        self.full = self._make()
        small = self._make()
        quantise(getattr(small, component), "int8", CPU)
        self.int8: FamilyPipeline = family(small)
        weights = {
            path: layer.weight.dequantize()
            for path, layer in getattr(small, component).named_modules()
            if is_quantised(layer, path)
        }
        self.written_out = self._make()
        network = getattr(self.written_out, component)
        with torch.no_grad():
            for path, weight in weights.items():
                network.get_submodule(path).weight.copy_(weight)
        self.adapters = {
            "all": made.adapter({component: network}, 1, rank=4, alpha=2),
            "attention": made.adapter({component: network}, 2, rank=8, wanted=made.attention),
        }

    @torch.inference_mode()
    def with_seats(self, family: FamilyPipeline, mixes: list[Mix]) -> list[torch.Tensor]:
        return family.predict([self._begun(family, mix, index) for index, mix in enumerate(mixes)])

    @torch.inference_mode()
    def with_peft(self, names: dict[str, float], index: int, *, fused: bool) -> torch.Tensor:
        pipeline = self._make()
        network = getattr(pipeline, self.component)
        network.load_state_dict(getattr(self.written_out, self.component).state_dict())
        for name in names:
            made.load_with_diffusers(pipeline, made.peft(self.adapters[name]), name)
        if names:
            pipeline.set_adapters(list(names), list(names.values()))
        if names and fused:
            pipeline.fuse_lora()
            pipeline.unload_lora_weights()
        family = self._family(pipeline)
        prediction: torch.Tensor = family.predict([self._begun(family, (), index)])[0]
        return prediction

    def mix(self, names: dict[str, float]) -> Mix:
        return tuple((self.adapters[name], weight) for name, weight in names.items())

    def in_full(self) -> FamilyPipeline:
        family: FamilyPipeline = self._family(self.full)
        return family

    def _begun(self, family: FamilyPipeline, mix: Mix, index: int) -> Trajectory:
        asked = request(guidance_scale=1.0)
        return family.prepare(asked, family.encode(asked), index, Pictures(), mix)


def _settled(pipeline: Any) -> Any:
    """Return `pipeline` without dropout: one that is made is as for training."""
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    return pipeline


@pytest.fixture(scope="module", params=["sdxl", "flux"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "sdxl":
        return Case(SdxlFamily, tiny.make_sdxl, "unet")
    return Case(FluxFamily, tiny.make_flux, "transformer")


NAMES: list[dict[str, float]] = [{"all": 1.0}, {}, {"attention": 0.7, "all": -0.4}, {"all": 0.5}]


@pytest.mark.parametrize("fused", [False, True], ids=["set_adapters", "fused"])
def test_rows_on_int8_weights_equal_peft_on_the_same_weights(case: Case, fused: bool) -> None:  # noqa: FBT001
    ours = case.with_seats(case.int8, [case.mix(names) for names in NAMES])
    for index, names in enumerate(NAMES):
        theirs = case.with_peft(names, index, fused=fused)
        assert difference(ours[index], theirs) < TOLERANCE


def test_int8_weights_cost_a_row_with_adapters_no_more_than_one_without(case: Case) -> None:
    mixes = [case.mix(names) for names in NAMES]
    exact = case.with_seats(case.in_full(), mixes)
    for ours, full in zip(case.with_seats(case.int8, mixes), exact, strict=True):
        assert 0 < difference(ours, full) < OF_FULL_WEIGHTS * full.std().item()


def test_an_adapter_is_read_for_a_quantised_network_as_for_a_full_one(
    case: Case, tmp_path: Any
) -> None:
    path = made.written(made.peft(case.adapters["all"]), tmp_path)
    small: Adapter = case.int8.read_adapter(path)
    full: Adapter = case.in_full().read_adapter(path)
    assert small.components[case.component].keys() == full.components[case.component].keys()
