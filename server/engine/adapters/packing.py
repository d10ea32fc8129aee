"""An adapter's layers side by side in one matrix, so that moving them is one copy.

Row r of the matrix holds the r-th row of every `down` and then the r-th column of every `up`. So
adapters that share a seat are rows below one another, and a weight is one multiplication.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch

from server.engine.adapters.adapter import LowRank

_ALIGNMENT = 8  # numbers; matrix units want 16 bytes, which are 8 of half precision


class Layout:
    """Where each layer lies in a row.

    Args:
        widths: numbers that each layer takes in a row: of its down part, of its up part.
    """

    def __init__(self, widths: Mapping[str, tuple[int, int]]) -> None:
        self.widths = dict(sorted(widths.items()))  # one set of layers has one layout
        self.down: dict[str, slice] = {}
        self.up: dict[str, slice] = {}
        place = 0
        for part, spans in enumerate((self.down, self.up)):
            for path, width in self.widths.items():
                spans[path] = slice(place, place + width[part])
                place = -(-spans[path].stop // _ALIGNMENT) * _ALIGNMENT
            if part == 0:
                self.downs_width = place
        self.width = place
        self._sizes = self._section_sizes()

    def parts(self, rows: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the down and the up part of each layer, in order, as views of (..., width)."""
        sections = torch.split(rows, self._sizes, dim=-1)[::2]
        count = len(self.widths)
        return list(zip(sections[:count], sections[count:], strict=True))

    def _section_sizes(self) -> list[int]:
        """Return the sizes of all parts, and of the gap after each."""
        spans = [*self.down.values(), *self.up.values()]
        ends = [*(span.start for span in spans), self.width][1:]
        sizes = []
        for span, end in zip(spans, ends, strict=True):
            sizes += [span.stop - span.start, end - span.stop]
        return sizes

    def columns(self, paths: Iterable[str]) -> torch.Tensor:
        """Return the columns of the layers at `paths`: their down parts, then their up parts."""
        ordered = sorted(paths)
        spans = [part[path] for part in (self.down, self.up) for path in ordered]
        return torch.cat([torch.arange(span.start, span.stop) for span in spans])


class PackedLayers(Mapping[str, LowRank]):
    """The layers of one component, kept as one matrix; each is a view of it.

    Attributes:
        layout: where they lie.
        matrix: (rank, layout.width), in main memory, as precise as the file; zeros where a
            layer's rank is smaller.
    """

    def __init__(self, layers: Mapping[str, LowRank], *, pinned: bool = False) -> None:
        """Copy `layers`; `pinned`: into memory that a GPU reads without a detour."""
        rank = max(layer.rank for layer in layers.values())
        dtype = _widest(list(layers.values()))
        self.layout = Layout({path: _widths(layer) for path, layer in layers.items()})
        self.matrix = torch.zeros(rank, self.layout.width, dtype=dtype, pin_memory=pinned)
        for path, layer in layers.items():
            self.matrix[: layer.rank, self.layout.down[path]] = layer.down.flatten(1)
            self.matrix[: layer.rank, self.layout.up[path]] = layer.up.flatten(1).mT
        self._shapes = {path: (layer.rank, layer.down.shape[1:]) for path, layer in layers.items()}
        self._scales = {path: layer.scale for path, layer in layers.items()}

    def __getitem__(self, path: str) -> LowRank:
        rank, inputs = self._shapes[path]
        down = self.matrix[:rank, self.layout.down[path]].view(rank, *inputs)
        up = self.matrix[:rank, self.layout.up[path]].mT
        return LowRank(down, up.reshape(*up.shape, *(1 for _ in inputs[1:])), self._scales[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def on(self, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """Return a copy of the matrix on `device`, each layer's scale in its up part."""
        moved = self.matrix.to(device, non_blocking=True, copy=True)
        if all(scale == 1 for scale in self._scales.values()):
            return moved.to(dtype)
        scaled = moved.to(torch.promote_types(dtype, moved.dtype))
        ups = scaled[:, self.layout.downs_width :]
        ups *= self._up_scales().to(device, scaled.dtype)
        return scaled.to(dtype)

    def _up_scales(self) -> torch.Tensor:
        scales = torch.ones(self.layout.width)
        for path, span in self.layout.up.items():
            scales[span] = self._scales[path]
        return scales[self.layout.downs_width :]


def packed(layers: Mapping[str, LowRank]) -> PackedLayers:
    """Return `layers` as one matrix; what is one already stays as it is."""
    return layers if isinstance(layers, PackedLayers) else PackedLayers(layers)


def rank_of_layers(layers: Mapping[str, LowRank]) -> int:
    """Return the largest rank of `layers`, without looking at each where they are packed."""
    if isinstance(layers, PackedLayers):
        return len(layers.matrix)
    return max(layer.rank for layer in layers.values())


def _widths(layer: LowRank) -> tuple[int, int]:
    return math.prod(layer.down.shape[1:]), layer.up.shape[0]


def _widest(layers: Sequence[LowRank]) -> torch.dtype:
    dtype = layers[0].down.dtype
    for layer in layers:
        for tensor in (layer.down, layer.up):
            dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype
