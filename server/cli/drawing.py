"""What a command hears while pictures are drawn, here or by a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from server.domain.events import Picture
from server.domain.images import ImageRequest
from server.engine.messages import Sources


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is drawn yet; `reason` is a sentence's beginning, such as 'Starts after 2 jobs'."""

    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """Denoising steps done over all pictures of the request; seconds are None until known."""

    done: int
    total: int
    eta_seconds: float | None


News = Waiting | Step | Picture


class Drawer(Protocol):
    """The running server, or this very process."""

    async def parameters(self, model: str | None) -> frozenset[str]:
        """Return the names of the parameters that `model`, or the default, takes."""
        ...

    def draw(self, request: ImageRequest, sources: Sources) -> AsyncGenerator[News]:
        """Draw `request` from the picture files of `sources`. Closing it cancels.

        Raises:
            AppError, CommandError: it could not be drawn.
        """
        ...
