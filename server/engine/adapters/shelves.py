"""The adapters of each model in memory."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

from server.domain.errors import AdapterError
from server.engine.adapters.adapter import Adapter
from server.engine.adapters.mix import Mix
from server.engine.adapters.shelf import Shelf
from server.engine.families.base import FamilyPipeline
from server.engine.messages import DrawAdapter

_MOST_BYTES = 4 * 2**30
_PART_OF_FREE = 4


def budget_bytes(free_bytes: int) -> int:
    """Return what the adapters of one model may take of main memory."""
    return min(free_bytes // _PART_OF_FREE, _MOST_BYTES)


class Shelves:
    """One shelf for each model; it goes when the model does. Any thread may ask.

    Args:
        budget_bytes: of each shelf.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._turn = threading.Lock()
        self._shelves: weakref.WeakKeyDictionary[FamilyPipeline, Shelf] = (
            weakref.WeakKeyDictionary()
        )

    def mix(self, family: FamilyPipeline, wanted: Iterable[DrawAdapter]) -> Mix:
        """Return the adapters that a picture is drawn with, read from their files if need be.

        Raises:
            AdapterError: one is damaged, gone, or made for another network; the message names it.
        """
        wanted = tuple(wanted)
        if not wanted:
            return ()  # without waiting for a turn
        with self._turn:
            shelf = self._shelves.get(family)
            if shelf is None:
                shelf = self._shelves[family] = Shelf(_reader(family), self._budget_bytes)
            return tuple((_read(shelf, one), one.weight) for one in wanted)


def _read(shelf: Shelf, wanted: DrawAdapter) -> Adapter:
    try:
        return shelf.get(wanted.sha256, Path(wanted.path))
    except AdapterError as error:
        raise AdapterError(
            f"adapter '{wanted.id}': {error.detail}", parameter="adapters"
        ) from error


def _reader(family: FamilyPipeline) -> Callable[[Path], Adapter]:
    """Return how `family` reads, without keeping it in memory."""
    reference = weakref.ref(family)

    def read(path: Path) -> Adapter:
        alive = reference()
        if alive is None:
            raise AdapterError("its model has left memory")
        return alive.read_adapter(path)

    return read
