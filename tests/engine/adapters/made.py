"""Adapters of random numbers, and the files that the programs of this world make of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from server.engine.adapters import names_sdxl
from server.engine.adapters.adapter import Adapter, LowRank
from server.engine.adapters.layers import layers_of

Wanted = Callable[[str], bool]
Tensors = dict[str, torch.Tensor]
Networks = Mapping[str, nn.Module]

TEXT = ("text_encoder", "text_encoder_2")


def everything(_path: str) -> bool:
    return True


def attention(path: str) -> bool:
    return ".attn" in path


def convolutions(path: str) -> bool:
    return "conv" in path


def adapter(
    networks: Mapping[str, nn.Module],
    seed: int,
    *,
    rank: int = 4,
    alpha: float | None = None,
    wanted: Wanted = everything,
    size: float = 0.05,
) -> Adapter:
    """Return an adapter of all wanted layers that changes what they draw, but not beyond reason."""
    numbers = torch.Generator().manual_seed(seed)

    def matrix(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=numbers) * size

    components: dict[str, Mapping[str, LowRank]] = {}
    for component, network in networks.items():
        layers = {
            path: LowRank(
                matrix(shape.down(rank)),
                matrix(shape.up(rank)),
                1.0 if alpha is None else alpha / rank,
            )
            for path, shape in layers_of(network).items()
            if wanted(path)
        }
        if layers:
            components[component] = layers
    return Adapter(components)


def peft(made: Adapter) -> Tensors:
    """Return what diffusers writes, with each layer's scale in its second matrix."""
    tensors = {}
    for component, layers in made.components.items():
        for path, layer in layers.items():
            tensors[f"{component}.{path}.lora_A.weight"] = layer.down.contiguous()
            tensors[f"{component}.{path}.lora_B.weight"] = (layer.up * layer.scale).contiguous()
    return tensors


def kohya(made: Adapter, prefixes: Mapping[str, str]) -> Tensors:
    """Return underscored names with down, up and alpha."""
    tensors: Tensors = {}
    for component, layers in made.components.items():
        for path, layer in layers.items():
            name = prefixes[component] + path.replace(".", "_")
            tensors |= down_up_alpha(name, layer)
    return tensors


SDXL_KOHYA = {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}


def released_sdxl(made: Adapter) -> Tensors:
    """Return what kohya writes for SDXL: its UNet has the blocks of the first release."""
    layers = made.components["unet"]
    unet = {}
    for path, layer in layers.items():
        *_, name = names_sdxl.other_names(path, layers)
        unet[name] = layer
    return kohya(Adapter({**made.components, "unet": unet}), SDXL_KOHYA)


def down_up_alpha(name: str, layer: LowRank) -> Tensors:
    return {
        f"{name}.lora_down.weight": layer.down.contiguous(),
        f"{name}.lora_up.weight": layer.up.contiguous(),
        f"{name}.alpha": torch.tensor(layer.scale * layer.rank),
    }


def written(tensors: Tensors, folder: Path, metadata: dict[str, str] | None = None) -> Path:
    path = folder / f"{len(list(folder.iterdir()))}.safetensors"
    save_file({name: each.clone() for name, each in tensors.items()}, path, metadata)
    return path


def load_with_diffusers(pipeline: Any, tensors: Tensors | Path, name: str) -> None:
    """Load an adapter as diffusers does; what it says about second ones is no error here."""
    given = {"weight_name": tensors.name} if isinstance(tensors, Path) else {}
    source = tensors.parent if isinstance(tensors, Path) else tensors
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.load_lora_weights(source, adapter_name=name, **given)


def change(layer: LowRank) -> torch.Tensor:
    """Return what is added to the layer's weights, as (out, in)."""
    return layer.scale * layer.up.flatten(1).float() @ layer.down.flatten(1).float()


def renamed(tensors: Tensors, *changes: tuple[str, str]) -> Tensors:
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in changes:
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


QUERY = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def query(rank: int = 4, inputs: int = 32, outputs: int = 32) -> Tensors:
    return {
        f"{QUERY}.lora_A.weight": torch.ones(rank, inputs),
        f"{QUERY}.lora_B.weight": torch.ones(outputs, rank),
    }
