"""What every remote provider is, whatever its service speaks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from server.domain.connections import Check, RemoteModelInfo
from server.domain.errors import AppError, ProviderAnswerError
from server.domain.events import Event, Failed, Picture
from server.domain.images import ResolvedRequest
from server.domain.provider import Provider

LoadSource = Callable[[str], Awaitable[bytes]]


class Fetch(Protocol):
    """Getting what lies at an address that a service names; public ones only (SafeFetcher.get)."""

    async def __call__(self, url: str, *, max_bytes: int, timeout_seconds: float) -> bytes:
        """Return the body at `url`.

        Raises:
            FetchRefusedError, FetchFailedError: it is not fetched, or does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The models of a service.

    Attributes:
        models: as the service lists them, or a few that it is known to have.
        age_seconds: since the service said so; None: it never did, and they are the known ones.
        problem: why the list is not fresh; None: it is.
    """

    models: tuple[RemoteModelInfo, ...]
    age_seconds: float | None
    problem: str | None


class RemoteProvider(Provider, Protocol):
    """A connection, ready to draw."""

    async def catalogue(self, *, fresh: bool = False) -> Catalogue:
        """Return the service's models, as it says now or said lately. Never raises."""
        ...

    async def check(self) -> Check:
        """Make a call that fails with a wrong key, and return what it found.

        Raises:
            ProviderError: what is wrong.
        """
        ...

    def generate(
        self, request: ResolvedRequest, *, resend_key: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Draw. Closing the generator closes the connection, and cancels where that is possible.

        Args:
            request: resolved against this provider's own model.
            resend_key: the same for every attempt at the same pictures, also after a restart:
                another Greenroom then draws them once only. Other services know no such key.
        """
        ...


# One call to a service: pictures `first` to `first + count - 1` of a request. It raises a
# ProviderError where a picture does not come.
PictureCall = Callable[[ResolvedRequest, int, int], AsyncGenerator[Event, None]]


def split(num_images: int, per_call: int) -> Iterator[tuple[int, int]]:
    """Yield first index and count of each call."""
    for first in range(0, num_images, per_call):
        yield first, min(per_call, num_images - first)


async def in_calls(
    request: ResolvedRequest, per_call: int, call: PictureCall
) -> AsyncGenerator[Event, None]:
    """Yield the events of all calls that `request` needs, one after another.

    At the first failure nothing more is asked for: every picture that has not come is `Failed`
    with the same error, and those that came stay.
    """
    had: set[int] = set()
    try:
        for first, count in split(request.num_images, per_call):
            async with aclosing(call(request, first, count)) as events:
                async for event in events:
                    if isinstance(event, Picture):
                        had.add(event.index)
                    yield event
        if len(had) < request.num_images:
            raise ProviderAnswerError(
                f"{len(had)} of {request.num_images} pictures came", may_have_billed=True
            )
    except AppError as error:
        for index in range(request.num_images):
            if index not in had:
                yield Failed(index, error)
