"""Adapters in main memory: each file is read once, the least recently used leave first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from server.engine.adapters.adapter import Adapter


class Shelf:
    """What was read for one model.

    Args:
        read: reads a file for that model, such as `FamilyPipeline.read_adapter`.
        budget_bytes: what the adapters may take together; the last one asked for always stays.
            Those in use elsewhere leave memory only when they are used no more.
    """

    def __init__(self, read: Callable[[Path], Adapter], budget_bytes: int) -> None:
        self._read = read
        self._budget_bytes = budget_bytes
        self._kept: OrderedDict[str, Adapter] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """What all of them take."""
        return sum(adapter.size_bytes for adapter in self._kept.values())

    def get(self, fingerprint: str, path: Path) -> Adapter:
        """Return the adapter of that fingerprint, from its file at `path` if it is not here.

        Raises:
            AdapterError: the file is damaged, of another kind, or made for another network.
        """
        if fingerprint not in self._kept:
            self._kept[fingerprint] = self._read(path)
        self._kept.move_to_end(fingerprint)
        while len(self._kept) > 1 and self.size_bytes > self._budget_bytes:
            self._kept.popitem(last=False)
        return self._kept[fingerprint]
