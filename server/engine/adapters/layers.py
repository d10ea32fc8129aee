"""The layers of a network that an adapter can change, and their shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What a layer reads and writes.

    Attributes:
        inputs: channels read.
        outputs: channels written.
        kernel: height and width of a convolution, empty for a linear layer.
    """

    inputs: int
    outputs: int
    kernel: tuple[int, ...] = ()

    def down(self, rank: int) -> tuple[int, ...]:
        """Return the shape of an adapter's first matrix."""
        return (rank, self.inputs, *self.kernel)

    def up(self, rank: int) -> tuple[int, ...]:
        """Return the shape of an adapter's second matrix."""
        return (self.outputs, rank, *(1 for _ in self.kernel))

    @property
    def down_width(self) -> int:
        """Numbers in one row of the first matrix."""
        return self.inputs * math.prod(self.kernel)


def layers_of(network: nn.Module) -> Mapping[str, LayerShape]:
    """Return the adaptable layers of `network` by module path; reads no weights.

    Grouped convolutions are left out: no network here has one, nor has their arithmetic.
    """
    shapes = {}
    for path, module in network.named_modules():
        if isinstance(module, nn.Linear):
            shapes[path] = LayerShape(module.in_features, module.out_features)
        elif isinstance(module, nn.Conv2d) and module.groups == 1:
            kernel = (module.kernel_size[0], module.kernel_size[1])
            shapes[path] = LayerShape(module.in_channels, module.out_channels, kernel)
    return shapes
