"""A service's list of models, kept for a while; a short known one where it does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from pydantic import ValidationError

from server.domain.connections import RemoteModelInfo
from server.domain.errors import ProviderError
from server.providers.remote import Catalogue

KEPT_SECONDS = 600.0
Models = tuple[RemoteModelInfo, ...]


def listed(found: Iterable[tuple[str, str]]) -> list[RemoteModelInfo]:
    """Return models by (id, name), without those whose id could be no connection's."""
    models: list[RemoteModelInfo] = []
    for model_id, name in found:
        with suppress(ValidationError):
            models.append(RemoteModelInfo(id=model_id, name=name or model_id))
    return models


def absent(models: Models, model: str) -> tuple[str, ...]:
    """Return a sentence where a list does not have `model`; it may work all the same."""
    if not models or any(one.id == model for one in models):
        return ()
    return (f"'{model}' is not in the service's list.",)


class CatalogueCache:
    """The newest list that a service gave.

    Args:
        ask: asks the service.
        known: models that it is known to have.
        now: a clock that never goes back.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[Models]],
        known: Models,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._known = known
        self._now = now
        self._kept: Models | None = None
        self._kept_at = 0.0
        self._asking = asyncio.Lock()

    async def get(self, *, fresh: bool) -> Catalogue:
        """Return the list; asks where the kept one is old, or `fresh` is wanted."""
        async with self._asking:  # many who ask at once are answered by one call
            problem = None
            if fresh or self._kept is None or self._now() - self._kept_at > KEPT_SECONDS:
                try:
                    self.keep(await self._ask())
                except ProviderError as error:
                    problem = error.detail
            if self._kept is None:
                return Catalogue(self._known, None, problem)
            return Catalogue(self._kept, self._now() - self._kept_at, problem)

    def keep(self, models: Models) -> None:
        """Keep what the service has just said."""
        self._kept, self._kept_at = models, self._now()
