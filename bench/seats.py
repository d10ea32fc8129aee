"""What adapters cost in a forward: `python -m bench.seats`, and `--device cuda --full` on a GPU.

All ways to draw are timed in turn, round after round, so that what else the machine does hits all
of them alike; each figure is a median.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from bench.figures import Figure
from server.engine.adapters.adapter import Adapter, LowRank
from server.engine.adapters.layers import layers_of
from server.engine.adapters.mix import Mix
from server.engine.adapters.packing import PackedLayers
from server.engine.adapters.seats import Seats

ROWS = 16
ROUNDS = 7
RANKS = (16, 32, 64, 128)
SWAP_GOAL_MS = 10.0
MANY_GOAL_PERCENT = 5.0
FUSED_GOAL_PERCENT = 3.0
_SDXL: Mapping[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "projection_class_embeddings_input_dim": 2816,
    "addition_time_embed_dim": 256,
}
_SMALL: Mapping[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640),  # narrower ones make an adapter a larger part of the work
    "layers_per_block": 1,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10),
    "transformer_layers_per_block": (1, 2),
    "projection_class_embeddings_input_dim": 1280 + 6 * 256,
    "addition_time_embed_dim": 256,
}


@dataclass(frozen=True)
class Bench:
    """A network with one batch for it.

    Attributes:
        network: with random weights, on the device.
        inputs: of a forward of ROWS rows.
        device: what is waited for.
    """

    network: UNet2DConditionModel
    inputs: Mapping[str, Any]
    device: torch.device

    def forward(self, network: UNet2DConditionModel | None = None) -> None:
        """Predict once, with `network` or the bench's own."""
        (network or self.network)(**self.inputs)

    def milliseconds(self, work: Callable[[], object]) -> float:
        """Return how long `work` and the device take."""
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return 1000 * (time.perf_counter() - started)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def adapters(self, count: int, rank: int) -> list[Adapter]:
        """Return characters as most are: of the attention and feed-forward layers."""
        return [_adapter(self.network, seed, rank) for seed in range(count)]


def make(device: torch.device, *, full: bool) -> Bench:
    """Return a bench of SDXL's own size, or of a small network that a processor draws in time."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    config = _SDXL if full else _SMALL
    with torch.device(device):
        network = UNet2DConditionModel(
            **config, use_linear_projection=True, addition_embed_type="text_time"
        )
        network = network.to(dtype).eval()
        side = 128 if full else 8
        pooled = config["projection_class_embeddings_input_dim"]
        pooled -= 6 * config["addition_time_embed_dim"]
        inputs = {
            "sample": torch.randn(ROWS, 4, side, side, dtype=dtype),
            "timestep": torch.full((ROWS,), 500.0),
            "encoder_hidden_states": torch.randn(
                ROWS, 77, config["cross_attention_dim"], dtype=dtype
            ),
            "added_cond_kwargs": {
                "text_embeds": torch.randn(ROWS, pooled, dtype=dtype),
                "time_ids": torch.zeros(ROWS, 6, dtype=dtype),
            },
        }
    return Bench(network, inputs, device)


def measure(bench: Bench) -> tuple[Figure, ...]:
    """Return all figures of this device."""
    with torch.inference_mode():
        return (swap(bench), *many(bench), fused(bench))


def swap(bench: Bench) -> Figure:
    """Time from one character to another: writing its seat, and what the first time adds."""
    seats = Seats(bench.network, "unet")
    characters = bench.adapters(4, 16)
    alone: list[list[Mix]] = [[((each, 1.0),)] * ROWS for each in characters]
    first = [_seated(bench, seats, mixes) for mixes in alone]
    again = [_seated(bench, seats, alone[turn % 4]) for turn in range(40)]
    same = [_seated(bench, seats, alone[0]) for _ in range(20)]
    all_change = [_seated(bench, seats, _four(characters, turn)) for turn in range(20)]
    seats.clear()
    return Figure(
        what="change of the character of a forward",
        value=_rounded(median(again)),
        unit="ms",
        goal=_goal(bench, SWAP_GOAL_MS),
        detail={
            "the first time": _rounded(median(first[1:])),
            "no change": _rounded(median(same[1:])),
            "16 rows, 4 characters, all change": _rounded(median(all_change)),
            "layers": len(characters[0].components["unet"]),
            "MiB of one": _rounded(characters[0].size_bytes / 2**20),
        },
    )


def many(bench: Bench) -> Iterator[Figure]:
    """Time forwards with several characters in flight against one with none."""
    for rank in RANKS:
        characters = bench.adapters(ROWS, rank)
        ways: dict[str, list[Mix]] = {
            f"{count} characters": [
                ((characters[row * count // ROWS], 1.0),) for row in range(ROWS)
            ]
            for count in (1, 4, 8, 16)
        }
        times = _in_turn(bench, {"no seats": None, "none": [()] * ROWS, **ways})
        yield _against_none(bench, rank, times)


def _against_none(bench: Bench, rank: int, times: Mapping[str, float]) -> Figure:
    none = times["none"]
    return Figure(
        what=f"16 characters in flight at rank {rank}, against none",
        value=_percent(times["16 characters"], none),
        unit="%",
        goal=_goal(bench, MANY_GOAL_PERCENT if rank == RANKS[0] else None),
        detail={
            **{
                f"{way}, %": _percent(took, none) for way, took in times.items() if way[0].isdigit()
            },
            "none, ms": _rounded(none),
            "seats without a mix against no seats, %": _percent(none, times["no seats"]),
        },
    )


def fused(bench: Bench) -> Figure:
    """Time one character in all rows against weights that it was fused into."""
    (character,) = bench.adapters(1, 16)
    seats = Seats(bench.network, "unet")
    network = deepcopy(bench.network)
    for path, layer in character.components["unet"].items():
        weight = network.get_submodule(path).weight
        change = layer.scale * layer.up.float() @ layer.down.float()
        weight.add_(change.to(weight.device, weight.dtype))
    seated, plain = [], []
    for _ in range(ROUNDS + 1):
        plain.append(bench.milliseconds(lambda: bench.forward(network)))
        with seats.use([((character, 1.0),)] * ROWS):
            seated.append(bench.milliseconds(bench.forward))
    seats.clear()
    times = median(seated[1:]), median(plain[1:])
    return Figure(
        what="one character in all rows, against fused weights",
        value=_percent(*times),
        unit="%",
        goal=_goal(bench, FUSED_GOAL_PERCENT),
        detail={"seated, ms": _rounded(times[0]), "fused, ms": _rounded(times[1])},
    )


def _four(characters: list[Adapter], turn: int) -> list[Mix]:
    """Return the mixes of ROWS rows with four characters, each turn elsewhere."""
    return [((characters[(row // 4 + turn) % 4], 1.0),) for row in range(ROWS)]


def _seated(bench: Bench, seats: Seats, mixes: list[Mix]) -> float:
    """Return the milliseconds until `mixes` are in their seats."""

    def work() -> None:
        with seats.use(mixes):
            pass

    return bench.milliseconds(work)


def _in_turn(bench: Bench, ways: Mapping[str, list[Mix] | None]) -> dict[str, float]:
    """Return each way's median milliseconds of a forward whose mixes are those of the last."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    seats = {way: Seats(bench.network, "unet", 0) for way in ways}
    for turn in range(ROUNDS + 1):
        for way, mixes in ways.items():
            with _only(seats[way], mixes):
                took = bench.milliseconds(functools.partial(_draw, bench, seats[way], mixes))
            if turn > 0:  # the first round warms up
                times[way].append(took)
    return {way: median(each) for way, each in times.items()}


@contextmanager
def _only(seats: Seats, mixes: list[Mix] | None) -> Iterator[None]:
    """Have `mixes` written beforehand, and no hook of this way in the others' times."""
    if mixes is not None:
        with seats.use(mixes):
            pass
    yield
    seats.clear()


def _draw(bench: Bench, seats: Seats, mixes: list[Mix] | None) -> None:
    if mixes is None:
        bench.forward()
        return
    with seats.use(mixes):
        bench.forward()


def _adapter(network: UNet2DConditionModel, seed: int, rank: int) -> Adapter:
    numbers = torch.Generator().manual_seed(seed)
    layers = {
        path: LowRank(
            0.02 * torch.randn(shape.down(rank), generator=numbers),
            0.02 * torch.randn(shape.up(rank), generator=numbers),
            1.0,
        )
        for path, shape in layers_of(network).items()
        if ".transformer_blocks." in path
    }
    return Adapter({"unet": PackedLayers(layers)})


def _percent(ours: float, theirs: float) -> float:
    return _rounded(100 * (ours / theirs - 1))


def _rounded(value: float) -> float:
    return round(value, 2)


def _goal(bench: Bench, goal: float | None) -> float | None:
    return goal if bench.device.type == "cuda" else None  # the goals are a GPU's


def main() -> None:
    """Print every figure of one run."""
    parser = argparse.ArgumentParser(prog="python -m bench.seats", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--full", action="store_true", help="a network of SDXL's own size")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for figure in measure(make(torch.device(arguments.device), full=arguments.full)):
        print(figure.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
