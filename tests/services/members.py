"""Members of chains for tests: they really draw, with pillow, and fail where a test wants it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from PIL import Image

from server.domain.adapters import StoredAdapter
from server.domain.connections import Check, Connection, ProviderKind
from server.domain.errors import AppError, WorkerDiedError
from server.domain.events import Event, Failed, Picture, Progress, Started
from server.domain.images import ResolvedRequest
from server.domain.models import (
    Family,
    ModelInfo,
    ParameterInfo,
    ParameterType,
    Price,
    RemoteTerms,
    Size,
    SizeRule,
    Task,
)
from server.domain.money import Money
from server.domain.provider import Estimate, Refusal
from server.providers.remote import Catalogue
from tests.store.values import NOW, a_recipe, new_id

_TYPES: dict[str, ParameterType] = {"references": "images", "adapters": "adapters"}


def painted(request: ResolvedRequest, index: int) -> bytes:
    """Return a PNG of one colour, which the prompt and the seed decide."""
    said = f"{request.prompt} {request.seed + index}".encode()
    colour = tuple(hashlib.sha256(said).digest()[:3])
    out = io.BytesIO()
    Image.new("RGB", (request.width, request.height), colour).save(out, "PNG")
    return out.getvalue()


class Member:
    """Draws what it is asked for; an error in `fails` is what becomes of the next call."""

    def __init__(self) -> None:
        self.fails: deque[AppError | None] = deque()
        self.pictures_before_failing = 0
        self.asked: list[ResolvedRequest] = []
        self.begun, self.may_draw = asyncio.Event(), asyncio.Event()
        self.may_draw.set()
        self.cancelled = 0
        self.cost: Money | None = None  # of each picture, as a service says it
        self.device_seconds = 0.01

    async def _drawn(self, request: ResolvedRequest) -> AsyncGenerator[Event, None]:
        self.asked.append(request)
        error = self.fails.popleft() if self.fails else None
        self.begun.set()
        try:
            await self.may_draw.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        for index in range(request.num_images):
            if error is not None and index >= self.pictures_before_failing:
                yield Failed(index, error)
                continue
            yield Started(index, 1)
            yield Progress(index, 1, 1)
            yield dataclasses.replace(
                _picture(request, index), cost=self.cost, device_seconds=self.device_seconds
            )


def _picture(request: ResolvedRequest, index: int) -> Picture:
    settings = {"model": request.model, "prompt": request.prompt, "seed": request.seed + index}
    return Picture(
        index=index,
        data=painted(request, index),
        format=request.format,
        width=request.width,
        height=request.height,
        recipe=a_recipe().model_copy(update=settings),
        duration_seconds=0.01,
        device_seconds=0.01,
    )


class Easel(Member):
    """A worker of this machine."""

    id = "local-cpu"
    device = "cpu"
    loaded_models: tuple[str, ...] = ()
    held_models: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.is_ready = True
        self.deadly = 0  # requests that end its process

    async def generate(self, request: ResolvedRequest) -> AsyncGenerator[Event, None]:
        """Draw; what fails is said as the engine says it.

        Raises:
            WorkerDiedError: as often as a test wants.
        """
        if self.deadly:
            self.deadly -= 1
            await asyncio.sleep(0)
            raise WorkerDiedError("ended by SIGKILL", started=True)
        async for event in self._drawn(request):
            yield event


class Painter(Member):
    """A service behind a connection."""

    def __init__(self, name: str, *, takes: Sequence[str] = (), **connection: Any) -> None:
        super().__init__()
        self.info = a_remote_model(name, takes)
        self.device_seconds = 0.0
        self.keys: list[str | None] = []
        self.connection = a_connection(name, **connection)

    def asks(self, cost: Money | None, *, listed: Money | None) -> Painter:
        """Ask so much for each picture; `listed` is what the price list says of it."""
        self.cost = cost
        prices = () if listed is None else (Price(when={}, cost=listed),)
        assert self.info.remote is not None
        terms = self.info.remote.model_copy(update={"prices": prices})
        self.info = self.info.model_copy(update={"remote": terms})
        return self

    async def models(self) -> Sequence[ModelInfo]:
        """See Provider."""
        return (self.info,)

    def refusal(self, request: ResolvedRequest) -> Refusal | None:
        """See Provider."""
        if "forbidden" in request.prompt:
            return Refusal("prompt", f"'{self.connection.name}' does not know that word")
        return None

    async def estimate(self, request: ResolvedRequest) -> Estimate:
        """See Provider."""
        del request
        return Estimate(None, 0.0)

    async def generate(
        self, request: ResolvedRequest, *, resend_key: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """See RemoteProvider."""
        self.keys.append(resend_key)
        async for event in self._drawn(request):
            yield event

    async def catalogue(self, *, fresh: bool = False) -> Catalogue:
        """See RemoteProvider."""
        del fresh
        return Catalogue(models=(), age_seconds=None, problem=None)

    async def check(self) -> Check:
        """See RemoteProvider."""
        return Check(models=(), balance=None, limits=(), seconds=0.0)


class Peer(Painter):
    """A service that has adapters of its own, as another Greenroom does."""

    def __init__(self, name: str, *adapters: StoredAdapter) -> None:
        super().__init__(name, provider=ProviderKind.GREENROOM, takes_pictures=True)
        declared = (_parameter("adapters"),)
        self.info = self.info.model_copy(update={"parameters": declared})
        self._adapters = adapters

    async def adapters(self) -> tuple[StoredAdapter, ...]:
        """Return what it has, as a Greenroom's provider tells it."""
        remote = {"family": Family.REMOTE}
        return tuple(one.model_copy(update=remote) for one in self._adapters)


def a_connection(name: str, **changes: Any) -> Connection:
    """Return a connection called `name`."""
    values: dict[str, Any] = {
        "id": new_id(),
        "name": name,
        "provider": ProviderKind.OPENAI,
        "model": "painter-9",
        "has_key": True,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Connection.model_validate(values | changes)


def a_remote_model(name: str, takes: Sequence[str]) -> ModelInfo:
    """Return the declaration of a model that draws in 64 x 64."""
    return ModelInfo(
        id=name,
        name=name,
        family=Family.REMOTE,
        task=Task.TEXT,
        provider="openai",
        description="",
        specialties=(),
        licence="",
        gated=False,
        demonstration=False,
        needs_vram_gib=None,
        parameters=tuple(map(_parameter, takes)),
        sizes=(Size(width=64, height=64, aspect_ratio="1:1"),),
        size_multiple=8,
        max_pixels=2**22,
        styles=(),
        remote=RemoteTerms(
            service="openai",
            service_model="painter-9",
            options=(),
            size_rule=SizeRule.ANY,
            longest_shape=None,
            scales={},
            max_seed=2**32,
            images_per_call=4,
            prices=(),
            token_prices=None,
            priced_on=None,
        ),
    )


def _parameter(name: str) -> ParameterInfo:
    return ParameterInfo(
        name=name,
        type=_TYPES.get(name, "image"),
        default=None,
        minimum=None,
        maximum=4 if name in _TYPES else None,
        step=None,
        options=(),
        description="",
    )
