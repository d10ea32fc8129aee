"""The one interface: the local engine, every remote service and the fallback chain."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from server.domain.events import Event
from server.domain.images import ResolvedRequest
from server.domain.models import ModelInfo
from server.domain.money import Money

# The message of a cancelled task where nobody wants the picture less, but this process ends.
SERVER_ENDS = "this server ends"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a provider cannot do, by name, before any cost."""

    parameter: str
    detail: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of work for the whole request; None where nothing was measured yet.

    Waiting is the dispatcher's to say. `flops` is the work that fairness is counted in, 0 for a
    remote service. `cost` is what the service's price list says; None where it is not known, and
    for the local engine, whose seconds have a price in the settings.
    """

    seconds: float | None
    flops: float
    cost: Money | None = None


class Provider(Protocol):
    """Something that makes images. Providers never queue for fairness."""

    async def models(self) -> Sequence[ModelInfo]:
        """Return what can be drawn with, as declared."""
        ...

    def refusal(self, request: ResolvedRequest) -> Refusal | None:
        """Return the first thing in `request` that this provider cannot do."""
        ...

    async def estimate(self, request: ResolvedRequest) -> Estimate:
        """Return the work in `request`."""
        ...

    def generate(self, request: ResolvedRequest) -> AsyncGenerator[Event, None]:
        """Draw. Closing the generator cancels within one step.

        Raises:
            WorkerDiedError: the process that drew is gone; safe to run again.

        A remote service's failure is an event like any other: `Failed` with a `ProviderError`.
        Pictures that came before it stay.
        """
        ...
