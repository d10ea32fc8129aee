from __future__ import annotations

from typing import Any

import pytest
import torch

from server.domain.errors import ModelUnavailableError
from server.domain.images import Profile
from server.domain.models import EngineModel, Family
from server.domain.plans import RESIDENT, Plan
from server.engine.drawing import engine_of, recipe_of
from server.engine.families.base import Pictures, Trajectory
from server.engine.loading import load
from server.engine.messages import Draw
from server.engine.plans.possible import why_not
from server.engine.plans.quantization import is_quantised
from tests.engine.drawing import difference, finish, held, request

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
INT8 = Plan(profile=Profile.MEMORY, weights="int8")
STREAMED = Plan(offload="group")
ON_A_CARD = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
MODELS = ("tiny", "tiny-flux")


@torch.inference_mode()
def drawn(model: EngineModel, plan: Plan, device: torch.device = CPU, **values: Any) -> Trajectory:
    family = held(model, plan, device)
    asked = request(**values)
    row = family.prepare(asked, family.encode(asked), 0, Pictures(), plan=plan)
    finish(family, [row])
    return row


@pytest.mark.parametrize("name", MODELS)
def test_int8_weights_draw_nearly_the_picture_of_full_ones(
    models: dict[str, EngineModel], name: str
) -> None:
    exact = drawn(models[name], RESIDENT).latents
    small = drawn(models[name], INT8).latents
    assert 0 < difference(small, exact) < 0.05 * exact.std().item()


@pytest.mark.parametrize("name", MODELS)
def test_only_the_large_layers_of_the_blocks_become_int8(
    models: dict[str, EngineModel], name: str
) -> None:
    network = _network(held(models[name], INT8))
    paths = {path: layer for path, layer in network.named_modules() if is_quantised(layer, path)}
    assert len(paths) >= 8
    for layer in paths.values():
        assert layer.weight.qdata.dtype is torch.int8
    for path, layer in network.named_modules():
        if isinstance(layer, torch.nn.Linear) and path not in paths:
            assert type(layer.weight) is torch.nn.Parameter, path
    assert not [path for path in paths if "embed" in path or "norm" in path]


@pytest.mark.parametrize("name", MODELS)
def test_a_streamed_network_draws_the_same_picture(
    models: dict[str, EngineModel], name: str
) -> None:
    exact = drawn(models[name], RESIDENT).latents
    assert difference(drawn(models[name], STREAMED).latents, exact) < 1e-4


def test_int8_weights_can_be_streamed(models: dict[str, EngineModel]) -> None:
    both = INT8.model_copy(update={"offload": "group"})
    resident = drawn(models["tiny-flux"], INT8).latents
    assert difference(drawn(models["tiny-flux"], both).latents, resident) < 1e-4


@pytest.mark.parametrize(
    ("plan", "remedy"),
    [
        (Plan(weights="fp8"), "take int8"),
        (Plan(weights="nf4"), "take int8"),
        (Plan(block_cache=True), "leave block_cache out"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused_before_anything_is_read(
    models: dict[str, EngineModel], plan: Plan, remedy: str
) -> None:
    nowhere = models["broken"]  # reading it would say that its files cannot be loaded
    with pytest.raises(ModelUnavailableError) as caught:
        load(nowhere, CPU, plan)
    assert plan.name in caught.value.detail
    assert remedy in caught.value.detail
    assert "cannot be loaded" not in caught.value.detail


def test_a_streamed_network_has_no_block_cache_and_no_four_bits() -> None:
    cached = why_not(Plan(block_cache=True, offload="group"), Family.FLUX, CPU)
    assert cached is not None
    assert "leave block_cache" in cached
    four = why_not(Plan(weights="nf4", offload="group"), Family.FLUX, CUDA)
    assert four is not None
    assert "cannot be streamed" in four
    assert why_not(Plan(offload="group"), Family.FLUX, CPU) is None


def test_the_recipe_says_which_plan_drew_the_picture(models: dict[str, EngineModel]) -> None:
    model = models["tiny"]
    message = Draw(draw=1, model=model, request=request(), preview_interval_seconds=1)
    recipe = recipe_of(message, 0, engine_of(CPU), INT8)
    assert (recipe.profile, recipe.plan) == (Profile.MEMORY, "memory, int8")
    assert recipe_of(message, 0, engine_of(CPU)).plan == "exact"


@pytest.mark.gpu
@ON_A_CARD
@pytest.mark.parametrize("weights", ["int8", "fp8", "nf4"])
@pytest.mark.parametrize("name", MODELS)
def test_fewer_bits_draw_nearly_the_same_picture_on_a_card(
    models: dict[str, EngineModel], name: str, weights: Any
) -> None:
    plan = Plan(profile=Profile.MEMORY, weights=weights)
    reason = why_not(plan, models[name].family, CUDA)
    if reason is not None:
        pytest.skip(reason)
    exact = drawn(models[name], RESIDENT, CUDA).latents.float()
    small = drawn(models[name], plan, CUDA).latents.float()
    assert difference(small, exact) < 0.3 * exact.std().item()


@pytest.mark.gpu
@ON_A_CARD
@pytest.mark.parametrize("name", MODELS)
def test_a_network_streamed_to_a_card_draws_the_same_picture(
    models: dict[str, EngineModel], name: str
) -> None:
    exact = drawn(models[name], RESIDENT, CUDA).latents.float()
    streamed = held(models[name], STREAMED, CUDA)
    assert next(_network(streamed).parameters()).device == CPU
    assert difference(drawn(models[name], STREAMED, CUDA).latents.float(), exact) < 1e-4


def _network(family: Any) -> Any:
    pipeline = family._pipeline  # noqa: SLF001 - what is looked at is how it lies in memory
    return getattr(pipeline, "unet", None) or pipeline.transformer
