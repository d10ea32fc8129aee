"""An adapter as the engine holds it, whatever names its file used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class LowRank:
    """The change of one layer: `weight * scale * up @ down` is added to its output.

    Attributes:
        down: (rank, in) of a linear layer, (rank, in, height, width) of a convolution.
        up: (out, rank) of a linear layer, (out, rank, 1, 1) of a convolution.
        scale: alpha / rank as the file says it, 1.0 where it says nothing.
    """

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    @property
    def rank(self) -> int:
        """Rows of `down`."""
        return self.down.shape[0]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Adapter:
    """All layers that one file changes, by component and module path.

    Two are equal only if they are one: a file is read once, and caches go by that.

    Attributes:
        components: such as unet, transformer, text_encoder or text_encoder_2, each with its
            layers by the module's path in diffusers, such as
            `down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q`.
    """

    components: Mapping[str, Mapping[str, LowRank]]

    @property
    def rank(self) -> int:
        """The largest rank of any layer."""
        return max(layer.rank for layers in self.components.values() for layer in layers.values())

    @property
    def size_bytes(self) -> int:
        """What the numbers of all layers take."""
        every = (layer for layers in self.components.values() for layer in layers.values())
        return sum(layer.down.nbytes + layer.up.nbytes for layer in every)
