"""An adapter from its file, checked against the model that it is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import nn

from server.domain.errors import AdapterError
from server.domain.models import Family
from server.engine.adapters.adapter import Adapter, LowRank
from server.engine.adapters.alphas import Alphas
from server.engine.adapters.header import AdapterFile, opened
from server.engine.adapters.layers import layers_of
from server.engine.adapters.names import Place
from server.engine.adapters.packing import PackedLayers
from server.engine.adapters.plan import MAX_RANK, Planned, plan


def read_adapter(
    path: Path, family: Family, networks: Mapping[str, nn.Module], *, pinned: bool = False
) -> Adapter:
    """Return the adapter in the file at `path`, in main memory.

    Args:
        path: a `.safetensors` file with the key names of diffusers, PEFT, kohya, ComfyUI or BFL.
        family: of the model.
        networks: the model's adaptable components; only their shapes are looked at.
        pinned: put it where a GPU fetches it without a detour.

    Raises:
        AdapterError: it is no such file, of another kind (DoRA, LoKr, ...), or does not fit this
            model; known from its header alone, but for spoilt numbers.
    """
    shapes = {component: layers_of(network) for component, network in networks.items()}
    layers: dict[str, dict[str, LowRank]] = {}
    with opened(path) as file:
        alphas = Alphas.of(file.header)
        for planned in plan(file.header, family, shapes):
            for place, layer in _read(planned, file, alphas):
                layers.setdefault(place.component, {})[place.path] = layer
    return Adapter(
        {component: PackedLayers(each, pinned=pinned) for component, each in layers.items()}
    )


def _read(planned: Planned, file: AdapterFile, alphas: Alphas) -> Iterable[tuple[Place, LowRank]]:
    keys = planned.entry.keys
    down, up = file.tensor(keys["down"]), file.tensor(keys["up"])
    alpha = file.tensor(keys["alpha"]).item() if "alpha" in keys else None
    for place in planned.places:
        scale = alpha / planned.rank if alpha is not None else None
        if scale is None:
            scale = alphas.scale(place.component, place.path, planned.rank)
        yield place, _layer(place, planned, down, up, scale)


def _layer(
    place: Place, planned: Planned, down: torch.Tensor, up: torch.Tensor, scale: float
) -> LowRank:
    """Return the layer at `place`, from matrices that may be those of several.

    Raises:
        AdapterError: it has more rank than is drawn with.
    """
    if place.swapped:
        up = torch.cat(up.chunk(2)[::-1])
    if place.outputs is not None:
        down, up = _without_idle_ranks(down.flatten(1), up.flatten(1)[place.outputs])
    rank = len(down)
    if rank > MAX_RANK:
        raise AdapterError(
            f"'{planned.entry.base}' has rank {rank}; from 1 to {MAX_RANK} are drawn with"
        )
    return LowRank(down.reshape(place.shape.down(rank)), up.reshape(place.shape.up(rank)), scale)


def _without_idle_ranks(down: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the matrices without the ranks that do nothing.

    Who fuses the adapters of q, k and v puts their ranks side by side, with zeros between.
    """
    used = up.ne(0).any(dim=0)
    used[0] |= not bool(used.any())  # no rank at all is no matrix
    return down[used], up[:, used]
