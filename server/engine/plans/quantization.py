"""The large linear layers of a network in 8 or 4 bits, made from full weights when it is loaded.

Embedders, modulation, norms and what reads or writes latents stay as they are: they are small, and
an error there reaches every token. Convolutions stay, too.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn

from server.domain.plans import Weights

_BLOCKS = "transformer_blocks"  # part of the path of a layer in SDXL's as in FLUX.1's blocks
_MODULATION = ".norm"
_ALIGNMENT = 16  # 8-bit matrix units take multiples of it


def is_quantised(layer: nn.Module, path: str) -> bool:
    """Return whether the layer at `path` of a network is one that takes fewer bits."""
    return (
        isinstance(layer, nn.Linear)
        and _BLOCKS in path
        and _MODULATION not in path
        and layer.in_features % _ALIGNMENT == 0
        and layer.out_features % _ALIGNMENT == 0
    )


def quantise(network: nn.Module, weights: Weights, device: torch.device) -> None:
    """Keep the large linear layers of `network` as `weights` says, and put them on `device`.

    One layer at a time, so the device never holds all of the full weights. `why_not` has been
    asked before.

    Args:
        network: with full weights, wherever it is.
        weights: int8: weights alone. fp8: weights, and what is multiplied with them when it is.
            nf4: weights alone.
        device: where the layers go.
    """
    if weights == "nf4":
        _to_four_bits(network, device)
    elif weights != "full":
        ao: Any = importlib.import_module("torchao.quantization")
        ao.quantize_(network, _config(ao, weights), is_quantised, device=device)


def _config(ao: Any, weights: Weights) -> Any:  # noqa: ANN401 - torchao is an extra
    if weights == "int8":
        return ao.Int8WeightOnlyConfig()
    return ao.Float8DynamicActivationFloat8WeightConfig(granularity=ao.PerRow())


def _to_four_bits(network: nn.Module, device: torch.device) -> None:
    bits: Any = importlib.import_module("bitsandbytes.nn")
    for path, layer in list(network.named_modules()):
        if isinstance(layer, nn.Linear) and is_quantised(layer, path):
            small = bits.Linear4bit(
                layer.in_features,
                layer.out_features,
                bias=False,
                compute_dtype=layer.weight.dtype,
                quant_type="nf4",
                device="meta",
            )
            small.weight = bits.Params4bit(
                layer.weight.detach(), requires_grad=False, quant_type="nf4"
            )
            small.bias = layer.bias
            network.set_submodule(path, small.to(device))  # the move is what quantises
