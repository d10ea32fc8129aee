"""Draws in this process, without a server: the registry and one worker."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from server.cli.adapters import open_adapters
from server.cli.console import CommandError
from server.cli.drawing import News, Step, Waiting
from server.domain.adapters import StoredAdapter, names_adapters
from server.domain.errors import NotFoundError
from server.domain.events import Failed, Picture, Progress
from server.domain.ids import IdMaker
from server.domain.images import ImageRequest, ResolvedRequest
from server.domain.models import ModelState
from server.domain.rates import Rates
from server.domain.resolve import resolve
from server.domain.sizes import Pixels, SourcePixels
from server.domain.tariff import Tariff
from server.domain.work import denoising_steps
from server.engine.client import EngineWorker
from server.engine.devices import find_devices
from server.engine.messages import Sources
from server.registry.registry import Registry
from server.services.adapter_files import AdapterFiles
from server.services.pictures import SafePicture, make_safe

if TYPE_CHECKING:
    from server.cli.drawing import Drawer
    from server.settings import Settings


_LOOK_SECONDS = 0.1
KnownAdapters = Callable[[ImageRequest], Awaitable[Mapping[str, StoredAdapter]]]


class _Kept:
    """The pictures of this command, by an id as the worker asks for them."""

    def __init__(self) -> None:
        self._pictures: dict[str, SafePicture] = {}
        self._new_id = IdMaker(time.time)

    def add(self, picture: SafePicture) -> str:
        key = self._new_id()
        self._pictures[key] = picture
        return key

    def pixels(self, request: ImageRequest) -> SourcePixels:
        """Return the sizes of the pictures that `request` names."""

        def of(key: str | None) -> Pixels | None:
            picture = None if key is None else self._pictures[key]
            return None if picture is None else (picture.width, picture.height)

        first = request.references[0] if request.references else None
        return SourcePixels(image=of(request.image), mask=of(request.mask), reference=of(first))

    async def __call__(self, source_id: str) -> bytes:
        if source_id not in self._pictures:
            raise NotFoundError(f"no source picture '{source_id}'")
        return self._pictures[source_id].png


@asynccontextmanager
async def local_drawer(settings: Settings) -> AsyncIterator[Drawer]:
    """Draw with the first device; its worker is stopped at the end."""
    # What the worker's keeper notes is for servers; here errors are told as errors.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    registry = Registry(settings.models, settings.data_dir, models_dir=settings.weights_dir)
    kept = _Kept()

    async def known_adapters(request: ImageRequest) -> Mapping[str, StoredAdapter]:
        if not names_adapters(request):  # most often there is no need to open a database
            return {}
        async with open_adapters(settings) as adapters:
            return await adapters.known_to(request)

    worker = EngineWorker(
        "local",
        find_devices(settings.devices)[0],
        infos=registry.infos,
        engine_model=registry.engine_model,
        rates=Rates(),
        load_source=kept,
        adapter_file=AdapterFiles(settings.weights_dir).path,
        preview_interval_seconds=settings.preview_interval_seconds,
    )
    try:
        max_pixels = settings.max_upload_megapixels * 1_000_000
        yield LocalDrawer(registry, worker, kept, max_pixels, known_adapters, settings.tariff)
    finally:
        await worker.stop()


class LocalDrawer:
    """This process and its worker."""

    def __init__(
        self,
        registry: Registry,
        worker: EngineWorker,
        kept: _Kept,
        max_pixels: int,
        known_adapters: KnownAdapters,
        tariff: Tariff,
    ) -> None:
        self._registry = registry
        self._worker = worker
        self._kept = kept
        self._max_pixels = max_pixels
        self._known_adapters = known_adapters
        self._tariff = tariff

    async def parameters(self, model: str | None) -> frozenset[str]:
        """Return what `model` takes, as the registry declares it."""
        return frozenset(parameter.name for parameter in self._registry.info(model).parameters)

    async def draw(self, request: ImageRequest, sources: Sources) -> AsyncGenerator[News]:
        """Draw with the worker; closing this cancels within one step."""
        given = {
            "image": await self._safe(sources.image),
            "mask": await self._safe(sources.mask),
            "references": tuple([await self._safe(data) for data in sources.references]),
        }
        request = request.model_copy(update=given)
        resolved = await self._resolved(request)
        info = self._registry.info(resolved.model)
        await self._make_demonstration(info.id)
        self._registry.engine_model(info.id)  # raises what is missing, before the worker starts
        yield Waiting("Starting the engine")
        await self._worker.start()
        await self._ready()
        yield Waiting("Loading the model")
        async for news in self._generate(resolved):
            yield news

    async def _resolved(self, request: ImageRequest) -> ResolvedRequest:
        return resolve(
            request,
            self._registry.info(request.model),
            seed=secrets.randbelow(2**32),
            given=self._kept.pixels(request),
            adapters=await self._known_adapters(request),
        )

    async def _safe(self, data: bytes | None) -> str | None:
        if data is None:
            return None
        safe = await asyncio.to_thread(make_safe, data, max_pixels=self._max_pixels)
        return self._kept.add(safe)

    async def _make_demonstration(self, model_id: str) -> None:
        """Make the small random model that a fresh install draws with, as `serve` does."""
        state, _ = self._registry.status(model_id)
        if state is ModelState.MISSING and self._registry.is_made_here(model_id):
            await self._registry.pull(model_id, lambda _done, _total: None)

    async def _ready(self) -> None:
        """Wait for the worker. A server would try again for ever; a person wants to know why.

        Raises:
            CommandError: the worker could not start.
        """
        ready = asyncio.create_task(self._worker.ready())
        try:
            while not ready.done():
                await asyncio.wait([ready], timeout=_LOOK_SECONDS)
                if self._worker.last_error is not None:
                    raise CommandError(f"{self._worker.last_error}; `greenroom doctor` may say why")
        finally:
            ready.cancel()

    async def _generate(self, request: ResolvedRequest) -> AsyncIterator[News]:
        per_picture = denoising_steps(request)
        total = per_picture * request.num_images
        async with aclosing(self._worker.generate(request)) as events:
            async for event in events:
                if isinstance(event, Progress):
                    yield Step(event.index * per_picture + event.step, total, None)
                elif isinstance(event, Picture):
                    yield dataclasses.replace(event, cost=self._tariff.cost_of(event))
                elif isinstance(event, Failed):
                    raise CommandError(f"{event.error.title}: {event.error.detail}")
