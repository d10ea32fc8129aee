"""Seats: each row of a forward has its own mix of adapters, in one network that is never changed.

The mixes of a forward are written into one buffer, a seat each, and hooks on the adapted layers
add what they do. The weights, the modules and their names stay as they are, so nothing that was
compiled, fused or counted knows of it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from server.engine.adapters.copies import Copies, Copy
from server.engine.adapters.hooks import Pair, SeatHook
from server.engine.adapters.mix import Mix, bucket, key, part, rank_of
from server.engine.adapters.packing import Layout, packed

_BUDGET_BYTES = 2 * 2**30  # all layers of FLUX at rank 16: about 170 MB


class Seats:
    """The seats of one network. Used by one thread, as is the network.

    Args:
        network: whose forward takes rows in the first dimension.
        component: its name in an adapter, such as unet.
        budget_bytes: for copies of adapters on the network's device, beside the seats themselves.
        device: where it draws; its weights may wait elsewhere. None: where they are.
    """

    def __init__(
        self,
        network: nn.Module,
        component: str,
        budget_bytes: int = _BUDGET_BYTES,
        device: torch.device | None = None,
    ) -> None:
        self._device = device or next(network.parameters()).device
        self._network = network
        self._component = component
        self._copies = Copies(component, budget_bytes)
        self._hooks: list[SeatHook] = []  # in the layout's order
        self._handles: list[RemovableHandle] = []
        self._layout = Layout({})
        self._columns: dict[Layout, tuple[torch.Tensor, torch.Tensor]] = {}
        self._pairs: list[Pair] = []  # in the layout's order
        self._written: Hashable = None  # what the pairs say

    @contextmanager
    def use(self, mixes: Sequence[Mix]) -> Iterator[None]:
        """Draw row i of the forwards inside with `mixes[i]`.

        The seats stay written, for a next forward of the same mixes; without any mix no hook is
        left on the network.

        Args:
            mixes: one for each row; a single one goes for any number of rows.

        Raises:
            RequestRefusedError: a mix has more rank than the largest seat.
            torch.OutOfMemoryError: the device has no room for the seats.
        """
        seated = _shared([part(mix, self._component) for mix in mixes])
        if not any(seated):
            self._leave()
            yield
            return
        self._write(seated)
        try:
            yield
        finally:
            self._close()

    def clear(self) -> None:
        """Give all memory on the device back; the next use writes anew."""
        self._leave()
        self._copies.clear()

    def _write(self, mixes: Sequence[Mix]) -> None:
        written = tuple(key(mix, [self._component]) for mix in mixes)
        if written != self._written:
            self._written, self._pairs = None, []  # frees the last seats before the next are made
            self._adopt(self._layout_of(mixes))
            self._pairs = self._pairs_of(self._filled(mixes))
            self._written = written
        for hook, pair in zip(self._hooks, self._pairs, strict=True):
            hook.pair = pair

    def _close(self) -> None:
        for hook in self._hooks:
            hook.pair = None

    def _leave(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._hooks, self._layout = [], [], Layout({})
        self._written, self._pairs = None, []
        self._columns.clear()

    def _layout_of(self, mixes: Sequence[Mix]) -> Layout:
        """Return a layout of all layers that `mixes` change: the present one, if it is."""
        widths: dict[str, tuple[int, int]] = {}
        for adapter in {adapter for mix in mixes for adapter, _ in mix}:
            widths |= packed(adapter.components[self._component]).layout.widths
        return self._layout if widths.keys() == self._layout.widths.keys() else Layout(widths)

    def _adopt(self, layout: Layout) -> None:
        """Have hooks on exactly the layers of `layout`."""
        if layout is self._layout:
            return
        self._leave()
        modules: Mapping[str, nn.Module] = dict(self._network.named_modules())
        for path in layout.widths:
            layer = modules[path]
            if not isinstance(layer, (nn.Linear, nn.Conv2d)):
                raise TypeError(f"layer '{path}' is a {type(layer).__name__}")
            self._hooks.append(SeatHook(layer))
            self._handles.append(layer.register_forward_hook(self._hooks[-1]))
        self._layout = layout

    def _pairs_of(self, buffer: torch.Tensor) -> list[Pair]:
        """Return each layer's part of `buffer`, in the number format that the layer has."""
        pairs = []
        for hook, (down, up) in zip(self._hooks, self._layout.parts(buffer), strict=True):
            if down.dtype != hook.dtype:
                down, up = down.to(hook.dtype), up.to(hook.dtype)
            pairs.append((down, up))
        return pairs

    def _filled(self, mixes: Sequence[Mix]) -> torch.Tensor:
        """Return (seats, rank, width): each mix in its seat, zeros where a seat is not full."""
        rank = bucket(max(rank_of(mix, self._component) for mix in mixes))
        device, dtype = self._device, next(self._network.parameters()).dtype
        shape = (len(mixes), rank, self._layout.width)
        buffer = torch.zeros(shape, device=device, dtype=dtype)
        for seat, mix in zip(buffer, mixes, strict=True):
            place = 0
            for adapter, weight in mix:
                copy = self._copies.get(adapter, device, dtype)
                rows = seat[place : place + len(copy.matrix)]
                self._place(rows, copy, weight)
                place += len(rows)
        return buffer

    def _place(self, rows: torch.Tensor, copy: Copy, weight: float) -> None:
        """Write an adapter to `rows`, (its rank, width), with `weight` in its second matrices."""
        if copy.layout.widths == self._layout.widths:
            rows.copy_(copy.matrix)
        else:
            theirs, ours = self._columns_of(copy.layout)
            rows.index_copy_(1, ours, copy.matrix.index_select(1, theirs))
        if weight != 1:
            rows[:, self._layout.downs_width :] *= weight

    def _columns_of(self, layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where the numbers of `layout` are in it, and where they are in the seats."""
        if layout not in self._columns:
            self._columns[layout] = (
                layout.columns(layout.widths).to(self._device),
                self._layout.columns(layout.widths).to(self._device),
            )
        return self._columns[layout]


def _shared(mixes: Sequence[Mix]) -> list[Mix]:
    """Return as few mixes as seats are needed: neighbours of one mix share one.

    All seats take equally many rows, as their matrices are multiplied in one batch.
    """
    runs = [(mix, len(list(rows))) for mix, rows in groupby(mixes)]
    together = math.gcd(*(length for _, length in runs))
    return [mix for mix, length in runs for _ in range(length // together)]
