"""How alike two pictures are is asked of an embedder; which one, nobody needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


class Embedder(Protocol):
    """Turns pictures into directions: the nearer two of them, the more alike the pictures."""

    @property
    def width(self) -> int:
        """How many numbers a direction has."""

    def embed(self, pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return (pictures, width), each row of length 1: their products are cosines."""
