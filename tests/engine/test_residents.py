from __future__ import annotations

import gc
import os
import weakref
from pathlib import Path

import pytest
import torch

from server.domain.errors import GpuMemoryError
from server.domain.models import EngineModel, Family, ModelPart
from server.domain.plans import Plan
from server.engine.families.base import FamilyPipeline
from server.engine.loading import load
from server.engine.residents import Budgets, InMemory, Load, Residents
from server.engine.weights import Weights
from tests.engine.drawing import begin, finish, request
from tests.engine.workers import engine_model

CPU = torch.device("cpu")
MIB = 2**20


class House:
    """Residents on a CPU, which stands for a device when main memory is given beside it."""

    def __init__(self, budgets: Budgets | None = None, load: Load = load) -> None:
        self.seconds = 0.0
        self.told: list[InMemory] = []
        self.residents = Residents(
            CPU,
            self.told.append,
            load,
            budgets=budgets or Budgets(),
            clock=lambda: self.seconds,
        )

    @property
    def here(self) -> tuple[str, ...]:
        return self.told[-1].models

    @property
    def beside(self) -> tuple[str, ...]:
        return self.told[-1].beside


@pytest.fixture
def sdxl(model_folders: dict[str, Path]) -> EngineModel:
    return engine_model("sdxl", model_folders["sdxl"], Family.SDXL)


@pytest.fixture
def flux(model_folders: dict[str, Path]) -> EngineModel:
    return engine_model("flux", model_folders["flux"], Family.FLUX)


def resident_bytes() -> int:
    """Return what the system says that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def drawn(family: FamilyPipeline) -> torch.Tensor:
    asked = request(num_inference_steps=2)
    row = begin(family, asked)
    finish(family, [row])
    return family.decode(row)


def test_a_model_is_loaded_once_and_again_when_it_changes(
    model_folders: dict[str, Path], sdxl: EngineModel, flux: EngineModel
) -> None:
    house = House()
    first = house.residents.get(sdxl).family
    house.seconds = 1
    house.residents.get(flux)
    house.seconds = 2
    assert house.residents.get(sdxl).family is first
    assert [(told.models, told.loading) for told in house.told if told.loading] == [
        ((), "sdxl"),
        (("sdxl",), "flux"),
    ]
    unet = model_folders["sdxl"] / "unet" / "diffusion_pytorch_model.safetensors"
    changed = sdxl.model_copy(
        update={
            "source": sdxl.source.model_copy(
                update={"parts": (ModelPart(kind="unet", path=str(unet)),)}
            )
        }
    )
    assert not house.residents.holds(changed)
    assert house.residents.get(changed).family is not first


def test_what_leaves_the_device_comes_back_without_a_file_and_draws_the_same(
    sdxl: EngineModel, flux: EngineModel
) -> None:
    loads: list[str] = []

    def counted(model: EngineModel, device: torch.device, plan: Plan) -> FamilyPipeline:
        loads.append(model.id)
        return load(model, device, plan)

    size = {model.id: load(model, CPU).weights.size_bytes for model in (sdxl, flux)}
    room_for_one = max(size.values()) + min(size.values()) // 2
    house = House(Budgets(device_bytes=room_for_one, main_bytes=100 * MIB), counted)
    with torch.inference_mode():
        before = drawn(house.residents.get(sdxl, pixels=64 * 64).family)
        house.residents.get(flux, pixels=64 * 64)
        assert (house.here, house.beside) == (("flux",), ("sdxl",))
        again = house.residents.get(sdxl, pixels=64 * 64)
        assert (house.here, house.beside) == (("sdxl",), ("flux",))
        assert torch.equal(drawn(again.family), before)
    assert loads == ["sdxl", "flux"]


def test_without_main_memory_what_leaves_is_gone(sdxl: EngineModel, flux: EngineModel) -> None:
    size = load(flux, CPU).weights.size_bytes
    house = House(Budgets(device_bytes=size * 5 // 4))
    family = weakref.ref(house.residents.get(sdxl, pixels=64 * 64).family)
    house.residents.get(flux, pixels=64 * 64)
    gc.collect()
    assert (house.here, house.beside, family()) == (("flux",), (), None)


def test_the_model_that_cost_least_and_is_used_least_leaves_first(sdxl: EngineModel) -> None:
    models = [sdxl.model_copy(update={"id": name}) for name in ("often", "seldom", "new")]
    size = load(sdxl, CPU).weights.size_bytes
    house = House(Budgets(device_bytes=size * 9 // 4))
    for _ in range(3):
        house.seconds += 1  # while it loads, too
        house.residents.get(models[0], pixels=64 * 64)
    house.seconds += 1
    house.residents.get(models[1], pixels=64 * 64)
    for kept in house.residents._kept.values():  # noqa: SLF001 - both took as long to load
        kept.worth.load_seconds = 1
    house.residents.get(models[2], pixels=64 * 64)
    assert set(house.here) == {"often", "new"}


def test_what_nobody_uses_for_long_is_given_up(sdxl: EngineModel, flux: EngineModel) -> None:
    house = House(Budgets(keep_alive_seconds=60))
    assert house.residents.expire() is None
    house.residents.get(sdxl)
    house.seconds = 50
    house.residents.get(flux)
    assert house.residents.expire() == 10
    house.seconds = 60
    assert house.residents.expire() == 50
    assert house.here == ("flux",)
    house.seconds = 110
    assert house.residents.expire() is None
    assert house.told[-1].models == ()


def test_what_is_drawn_with_for_long_is_kept_and_counts_as_used(
    sdxl: EngineModel, flux: EngineModel
) -> None:
    house = House(Budgets(keep_alive_seconds=60))
    house.residents.get(flux)
    house.residents.get(sdxl)
    house.seconds = 100
    assert house.residents.expire(in_use=["sdxl"]) == 60
    assert house.here == ("sdxl",)
    house.seconds = 159
    assert house.residents.expire() == 1


def test_before_a_model_is_held_otherwise_what_nobody_holds_any_more_is_gone(
    sdxl: EngineModel,
) -> None:
    house = House()
    kept = house.residents.get(sdxl)
    lost = load(sdxl, CPU)
    vars(lost.attention)["itself"] = lost  # pipelines are such rings
    gone = weakref.ref(lost)
    del lost
    tries: list[bool] = []

    def work() -> None:
        tries.append(gone() is None)
        if len(tries) < 2:
            raise torch.OutOfMemoryError("simulated")

    gc.disable()
    try:
        house.residents.with_room(kept, work)
    finally:
        gc.enable()
    assert tries == [False, True]


def test_weights_that_only_their_library_can_move_stay_as_they_are_on_their_device() -> None:
    class Packed(torch.nn.Parameter):
        """As 4-bit weights are: what their numbers mean is kept beside them."""

        meaning: str

    layer = torch.nn.Linear(4, 4, device="meta")
    packed = Packed(torch.zeros(4, 4), requires_grad=False)
    packed.meaning = "sixteen levels"
    layer.weight, layer.bias = packed, torch.nn.Parameter(torch.zeros(4))
    weights = Weights([layer], CPU, "block")
    weights.is_here = False  # as when other layers of the network are in main memory
    weights.bring()
    assert layer.weight is packed


def test_a_model_that_cannot_fit_is_refused_by_its_numbers_before_it_is_loaded(
    flux: EngineModel,
) -> None:
    def never(model: EngineModel, device: torch.device, plan: Plan) -> FamilyPipeline:
        raise AssertionError("it was loaded")

    house = House(Budgets(device_bytes=MIB), never)
    with pytest.raises(
        GpuMemoryError, match=r"'flux' needs about 0\.\d\d GiB .* cpu has 0\.00 GiB"
    ):
        house.residents.get(flux)
    assert not house.residents.could_hold(flux)


def test_a_prompt_is_read_when_its_encoders_wait_in_main_memory(sdxl: EngineModel) -> None:
    family = load(sdxl, CPU)
    weights = family.weights
    with torch.inference_mode():
        expected = drawn(load(sdxl, CPU))
        weights.keep_copies()
        weights.encoders.stays = False
        weights.bring()
        assert (weights.encoders.is_here, weights.network.is_here) == (False, True)
        assert (
            drawn(family).int() - expected.int()
        ).abs().max() <= 1  # it lies elsewhere in memory
        assert not weights.encoders.is_here


@pytest.mark.parametrize("name", ["sdxl", "flux"])
def test_shared_weights_stay_shared_wherever_they_are(
    model_folders: dict[str, Path], name: str
) -> None:
    weights = load(engine_model("x", model_folders[name], Family(name)), CPU).weights
    size = weights.size_bytes
    weights.keep_copies()
    for _ in range(2):
        weights.bring()
        assert (weights.size_bytes, weights.held_bytes) == (size, size)
        assert weights.leave()
        assert (weights.size_bytes, weights.held_bytes) == (size, 0)


@pytest.mark.slow
def test_two_hundred_swaps_leave_memory_as_it_was(sdxl: EngineModel, flux: EngineModel) -> None:
    models = [
        model.model_copy(update={"id": f"{model.id}-{number}"})
        for model in (sdxl, flux)
        for number in range(2)
    ]
    size = load(flux, CPU).weights.size_bytes
    # One waits in main memory, the others are read from their files: both ways are taken.
    house = House(Budgets(device_bytes=size * 5 // 4, main_bytes=2 * size))
    taken = []
    with torch.inference_mode():
        for swap in range(200):
            house.seconds += 1
            kept = house.residents.get(models[swap * 7 % 4], pixels=64 * 64)
            if swap % 10 == 0:
                drawn(kept.family)
            taken.append(resident_bytes())
    early, late = sorted(taken[40:80]), sorted(taken[160:])
    assert late[len(late) // 2] - early[len(early) // 2] < 8 * MIB
