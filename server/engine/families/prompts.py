"""The last prompts in encoded form: text encoders are slow, and people repeat themselves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from server.engine.families.base import Conditioning

_KEPT = 32  # FLUX: about 4 MiB each


class PromptCache:
    """Least recently used prompts of one model; a key holds the text and all encoder settings."""

    def __init__(self, size: int = _KEPT) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, Conditioning] = OrderedDict()

    def clear(self) -> None:
        """Let go of all."""
        self._kept.clear()

    def get(self, key: Hashable, encode: Callable[[], Conditioning]) -> Conditioning:
        """Return what is kept under `key`, or encode it now."""
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = encode()
        self._kept.move_to_end(key)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return found
