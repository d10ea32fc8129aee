"""What an adapted layer adds to its output, for every row its own change.

Rows that follow one another and have the same mix share a seat: `rows` is a multiple of `seats`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import nn
from torch.nn import functional

Pair = tuple[torch.Tensor, torch.Tensor]
"""(seats, rank, in) and (seats, rank, out); of a convolution, in is channels * height * width."""


class SeatHook:
    """A forward hook of one layer; without a pair it does nothing."""

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        self._add = _adder(layer)
        self.dtype = _dtype(layer)  # a text encoder may keep some layers more precise
        self.pair: Pair | None = None

    def __call__(
        self, layer: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> None:
        """Add the change to `output` in place: it is the layer's own, nobody has seen it yet."""
        if self.pair is not None:
            self._add(arguments[0], output, *self.pair)


def _dtype(layer: nn.Linear | nn.Conv2d) -> torch.dtype:
    """Return what `layer` computes in; packed 4-bit weights are whole numbers."""
    if layer.weight.is_floating_point():
        return layer.weight.dtype
    return cast(torch.dtype, layer.compute_dtype)


def _adder(layer: nn.Linear | nn.Conv2d) -> Callable[..., None]:
    if isinstance(layer, nn.Linear):
        return _add_linear

    def add(seen: torch.Tensor, output: torch.Tensor, down: torch.Tensor, up: torch.Tensor) -> None:
        _add_convolution(layer, seen, output, down, up)

    return add


def _add_linear(
    seen: torch.Tensor, output: torch.Tensor, down: torch.Tensor, up: torch.Tensor
) -> None:
    """Add to `output`, (rows, ..., out), the change for `seen`, (rows, ..., in)."""
    if len(down) == 1:
        inner = seen.reshape(-1, seen.shape[-1]) @ down[0].mT
        output.view(-1, output.shape[-1]).addmm_(inner, up[0])
        return
    inner = torch.bmm(seen.reshape(len(down), -1, seen.shape[-1]), down.mT)
    output.view(len(up), -1, output.shape[-1]).baddbmm_(inner, up)


def _add_convolution(
    layer: nn.Conv2d,
    seen: torch.Tensor,
    output: torch.Tensor,
    down: torch.Tensor,
    up: torch.Tensor,
) -> None:
    """Add to `output`, (rows, out, h, w), the change for `seen`, (rows, channels, h, w).

    All rows are one grouped convolution: measured as fast as one for each row, which takes many
    small kernels, and 5 to 20 times as fast as unfolding.
    """
    rows, channels = seen.shape[:2]
    rank = down.shape[1]
    if len(down) not in (1, rows):
        down, up = (each.repeat_interleave(rows // len(each), dim=0) for each in (down, up))
    groups = len(down)
    inner = functional.conv2d(
        seen.reshape(rows // groups, groups * channels, *seen.shape[2:]),
        down.reshape(groups * rank, channels, *layer.kernel_size),
        None,
        layer.stride,
        layer.padding,
        layer.dilation,
        groups,
    )
    changes = torch.matmul(up.mT, inner.reshape(rows, rank, -1))
    output.add_(changes.view_as(output))
