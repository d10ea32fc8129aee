"""Adapters on the device, the least recently used leaving when the budget is spent."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from dataclasses import dataclass

import torch

from server.engine.adapters.adapter import Adapter
from server.engine.adapters.packing import Layout, packed


@dataclass(frozen=True, slots=True)
class Copy:
    """One component of an adapter on the device: `matrix` is (rank, layout.width)."""

    matrix: torch.Tensor
    layout: Layout

    @property
    def size_bytes(self) -> int:
        """What it takes."""
        return self.matrix.nbytes


class Copies:
    """Copies of one component's part of adapters; one that is gone from memory goes here, too.

    Args:
        component: such as unet.
        budget_bytes: what they may take together. One that alone is larger is made each time.
    """

    def __init__(self, component: str, budget_bytes: int) -> None:
        self._component = component
        self._budget_bytes = budget_bytes
        self._kept: OrderedDict[weakref.ref[Adapter], Copy] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """What all copies take."""
        return sum(copy.size_bytes for copy in self._kept.values())

    def get(self, adapter: Adapter, device: torch.device, dtype: torch.dtype) -> Copy:
        """Return the copy of `adapter`, made now if there is none."""
        reference = weakref.ref(adapter, self._forget)
        found = self._kept.get(reference)
        if found is None or found.matrix.device != device or found.matrix.dtype != dtype:
            layers = packed(adapter.components[self._component])
            found = Copy(layers.on(device, dtype), layers.layout)
            self._keep(reference, found)
        else:
            self._kept.move_to_end(reference)
        return found

    def clear(self) -> None:
        """Give all memory back."""
        self._kept.clear()

    def _keep(self, reference: weakref.ref[Adapter], copy: Copy) -> None:
        self._kept.pop(reference, None)
        room = self._budget_bytes - copy.size_bytes
        while self._kept and self.size_bytes > room:
            self._kept.popitem(last=False)
        if room >= 0:
            self._kept[reference] = copy

    def _forget(self, reference: weakref.ref[Adapter]) -> None:
        self._kept.pop(reference, None)
