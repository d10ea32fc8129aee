"""Every row has its own adapters, and what it draws is what PEFT and fused weights draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from server.domain.errors import RequestRefusedError
from server.domain.models import Family
from server.engine import tiny
from server.engine.adapters.adapter import Adapter
from server.engine.adapters.mix import Mix
from server.engine.adapters.reading import read_adapter
from server.engine.adapters.seats import Seats
from tests.engine.adapters import made

TOLERANCE = 1e-4
ROWS = 6


@dataclass
class Network:
    """A small network, its adapters, and a forward of any of ROWS rows."""

    pipeline: Any
    component: str
    adapters: dict[str, Adapter]
    forward: Callable[[nn.Module, Sequence[int]], torch.Tensor]
    alone: dict[tuple[object, int], torch.Tensor] = field(default_factory=dict)

    @property
    def module(self) -> nn.Module:
        module: nn.Module = getattr(self.pipeline, self.component)
        return module

    @cached_property
    def seats(self) -> Seats:
        return Seats(self.module, self.component)

    def drawn(self, seats: Seats, mixes: Sequence[Mix]) -> torch.Tensor:
        with seats.use(mixes):
            return self.forward(self.module, range(len(mixes)))


def _adapters(component: str, module: nn.Module) -> dict[str, Adapter]:
    parts = {component: module}
    return {
        "all": made.adapter(parts, 1, rank=4, alpha=2),
        "attention": made.adapter(parts, 2, rank=8, wanted=made.attention, size=0.1),
        "some": made.adapter(parts, 3, rank=3, wanted=lambda path: "to_q" in path or "1" in path),
        "wide": made.adapter(parts, 4, rank=30, wanted=lambda path: "ff" in path or "proj" in path),
    }


def _sdxl() -> Network:
    pipeline = tiny.make_sdxl()
    numbers = torch.Generator().manual_seed(5)
    seen = torch.randn(ROWS, 4, 16, 16, generator=numbers)
    text = torch.randn(ROWS, 77, 72, generator=numbers)
    pooled = torch.randn(ROWS, 40, generator=numbers)
    times = torch.tensor([1.0, 900.0, 20.0, 300.0, 999.0, 500.0])

    def forward(module: nn.Module, rows: Sequence[int]) -> torch.Tensor:
        index = list(rows)
        added = {"text_embeds": pooled[index], "time_ids": torch.ones(len(index), 6)}
        with torch.inference_mode():
            output: torch.Tensor = module(
                seen[index], times[index], text[index], added_cond_kwargs=added, return_dict=False
            )[0]
        return output

    adapters = _adapters("unet", pipeline.unet)
    adapters["convolutions"] = made.adapter(
        {"unet": pipeline.unet}, 6, rank=5, wanted=made.convolutions
    )
    return Network(pipeline, "unet", adapters, forward)


def _flux() -> Network:
    pipeline = tiny.make_flux()
    numbers = torch.Generator().manual_seed(5)
    seen = torch.randn(ROWS, 16, 64, generator=numbers)
    text = torch.randn(ROWS, 12, 32, generator=numbers)
    pooled = torch.randn(ROWS, 32, generator=numbers)

    def forward(module: nn.Module, rows: Sequence[int]) -> torch.Tensor:
        index = list(rows)
        with torch.inference_mode():
            output: torch.Tensor = module(
                hidden_states=seen[index],
                encoder_hidden_states=text[index],
                pooled_projections=pooled[index],
                timestep=torch.linspace(0.1, 1, ROWS)[index],
                guidance=torch.full((len(index),), 3.5),
                img_ids=torch.zeros(16, 3),
                txt_ids=torch.zeros(12, 3),
                return_dict=False,
            )[0]
        return output

    return Network(pipeline, "transformer", _adapters("transformer", pipeline.transformer), forward)


@pytest.fixture(scope="module", params=[_sdxl, _flux], ids=["sdxl", "flux"])
def network(request: pytest.FixtureRequest) -> Network:
    drawn: Network = request.param()
    return drawn


@pytest.fixture(scope="module")
def peft(network: Network) -> Any:
    """The same pipeline with all adapters loaded the way diffusers does."""
    pipeline = deepcopy(network.pipeline)
    for name, adapter in network.adapters.items():
        made.load_with_diffusers(pipeline, made.peft(adapter), name)
    return pipeline


def _mix(network: Network, names: dict[str, float]) -> Mix:
    return tuple((network.adapters[name], weight) for name, weight in names.items())


def _expected(network: Network, peft: Any, names: dict[str, float], row: int) -> torch.Tensor:
    if not names:
        return network.forward(network.module, [row])
    peft.set_adapters(list(names), list(names.values()))
    return network.forward(getattr(peft, network.component), [row])


MIXES: list[dict[str, float]] = [
    {"all": 1.0},
    {"all": 1.0},
    {},
    {"attention": 0.5, "some": -0.7},
    {"some": 1.0, "all": 0.3, "attention": 1.1},
    {"wide": 0.8},
]


def test_rows_of_different_mixes_equal_set_adapters(network: Network, peft: Any) -> None:
    ours = network.drawn(network.seats, [_mix(network, names) for names in MIXES])
    plain = network.forward(network.module, range(ROWS))
    for row, names in enumerate(MIXES):
        theirs = _expected(network, peft, names, row)[0]
        assert (ours[row] - theirs).abs().max() < TOLERANCE
        assert bool((plain[row] - theirs).abs().max() > 0.01) == bool(names)  # they do something


def test_one_mix_in_all_rows_equals_fused_weights(network: Network) -> None:
    names = {"all": 0.8, "attention": 0.6}
    network.seats.clear()
    fused = deepcopy(network.pipeline)
    for name in names:
        made.load_with_diffusers(fused, made.peft(network.adapters[name]), name)
    fused.set_adapters(list(names), list(names.values()))
    fused.fuse_lora()
    fused.unload_lora_weights()
    theirs = network.forward(getattr(fused, network.component), range(ROWS))
    ours = network.drawn(network.seats, [_mix(network, names)] * ROWS)
    assert (ours - theirs).abs().max() < TOLERANCE


def test_convolutions_change_as_in_peft() -> None:
    network = _sdxl()
    pipeline = deepcopy(network.pipeline)
    made.load_with_diffusers(pipeline, made.peft(network.adapters["convolutions"]), "convolutions")
    pipeline.set_adapters(["convolutions"], [0.9])
    mix = _mix(network, {"convolutions": 0.9})
    # Alone, in pairs that share a seat, and each row by itself.
    for mixes in ([mix], [mix, mix, (), ()], [(), mix, ()]):
        ours = network.drawn(network.seats, mixes)
        for row in range(len(mixes)):
            drawn_by = pipeline.unet if mixes[row] else network.module
            assert (ours[row] - network.forward(drawn_by, [row])[0]).abs().max() < TOLERANCE


def _names(network: Network) -> st.SearchStrategy[list[dict[str, float]]]:
    weight = st.sampled_from([-0.5, 0.25, 0.6, 1.0])
    mix = st.dictionaries(st.sampled_from(sorted(network.adapters)), weight, max_size=3)
    # Neighbours are often the same, as the two rows of a guided picture are.
    runs = st.lists(st.tuples(mix, st.integers(1, 3)), min_size=1, max_size=ROWS)
    return runs.map(lambda found: [each for each, times in found for _ in range(times)][:ROWS])


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_row_never_has_anything_of_its_neighbours(network: Network, data: st.DataObject) -> None:
    for names in data.draw(st.lists(_names(network), min_size=1, max_size=3)):
        together = network.drawn(network.seats, [_mix(network, each) for each in names])
        for row, each in enumerate(names):
            assert (together[row] - _alone(network, each, row)).abs().max() < TOLERANCE


def _alone(network: Network, names: dict[str, float], row: int) -> torch.Tensor:
    key = (tuple(names.items()), row)
    if key not in network.alone:
        seats = Seats(network.module, network.component)
        with seats.use([_mix(network, names)]):
            network.alone[key] = network.forward(network.module, [row])[0]
        seats.clear()
    return network.alone[key]


def test_outside_of_its_forward_a_mix_does_nothing(network: Network) -> None:
    network.seats.clear()
    plain = network.forward(network.module, range(2))
    seats = network.seats
    network.drawn(seats, [_mix(network, {"all": 1.0}), ()])
    assert torch.equal(network.forward(network.module, range(2)), plain)
    with pytest.raises(ValueError, match="x"), seats.use([_mix(network, {"all": 1.0})]):
        raise ValueError("x")
    assert torch.equal(network.forward(network.module, range(2)), plain)


def test_a_batch_without_adapters_leaves_no_hook(network: Network) -> None:
    network.seats.clear()
    seats = network.seats
    network.drawn(seats, [_mix(network, {"all": 1.0})])
    assert _hooks(network.module) > 0
    assert not any("lora" in name for name in network.module.state_dict())
    network.drawn(seats, [(), ()])
    assert _hooks(network.module) == 0


def test_a_weight_of_zero_is_no_adapter(network: Network) -> None:
    network.drawn(network.seats, [_mix(network, {"all": 0.0})])
    assert _hooks(network.module) == 0


def test_the_same_mixes_are_written_once(network: Network) -> None:
    adapter = made.adapter({network.component: network.module}, 11)
    mixes: list[Mix] = [((adapter, 1.0),), ()]
    seats = network.seats
    first = network.drawn(seats, mixes)
    for layer in adapter.components[network.component].values():
        layer.up.zero_()  # whoever reads it again is found out
    assert torch.equal(network.drawn(seats, mixes), first)


def test_more_rank_than_the_largest_seat_is_refused(network: Network) -> None:
    wide = made.adapter({network.component: network.module}, 9, rank=100, wanted=made.attention)
    mix = ((wide, 1.0), (network.adapters["wide"], 1.0))
    with pytest.raises(RequestRefusedError, match="rank 130 together, and 128 is the most"):
        network.drawn(network.seats, [mix])


def test_half_precision_errs_no_more_than_peft_does(network: Network, peft: Any) -> None:
    names = {"all": 1.0, "attention": 0.5}
    mix = _mix(network, names)
    exact = network.drawn(network.seats, [mix] * ROWS)
    peft.set_adapters(list(names), list(names.values()))
    theirs = deepcopy(getattr(peft, network.component)).to(torch.bfloat16)
    network.seats.clear()  # a copy would have its hooks
    module = deepcopy(network.module).to(torch.bfloat16)
    with Seats(module, network.component).use([mix] * ROWS):
        ours = _in_half(network, module)
    assert _error(ours, exact) < 1.1 * _error(_in_half(network, theirs), exact)


def _in_half(network: Network, module: nn.Module) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):  # brings the inputs to the weights' format
        return network.forward(module, range(ROWS)).float()


def _error(drawn: torch.Tensor, exact: torch.Tensor) -> float:
    return (drawn - exact).square().mean().sqrt().item()


def _hooks(module: nn.Module) -> int:
    return sum(len(vars(each)["_forward_hooks"]) for each in module.modules())


def test_a_mix_is_seated_without_its_file(network: Network, tmp_path: Path) -> None:
    parts = {network.component: network.module}
    path = made.written(made.peft(made.adapter(parts, 12)), tmp_path)
    family = Family.SDXL if network.component == "unet" else Family.FLUX
    read = read_adapter(path, family, parts)
    path.unlink()
    seats = network.seats
    with_it = network.drawn(seats, [((read, 1.0),)])
    network.drawn(seats, [_mix(network, {"all": 1.0})])
    assert torch.equal(network.drawn(seats, [((read, 1.0),)]), with_it)
