"""Composition root: builds every object once, from settings."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version

import structlog
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from server.api.routes import install
from server.domain.ids import IdMaker
from server.domain.rates import Rates
from server.engine.client import EngineWorker
from server.engine.devices import find_devices
from server.net.fetch import SafeFetcher
from server.registry.registry import Registry
from server.services.active import ActiveJobs
from server.services.dispatcher import Dispatcher
from server.services.gallery import Gallery, Sources
from server.services.generation import Generation
from server.services.health import Health
from server.services.keys import Keys
from server.services.models import Models
from server.services.runner import Runner
from server.services.services import Services
from server.services.streams import Streams
from server.services.uploads import Uploads
from server.services.workers import Workers
from server.settings import Settings, admin_token
from server.store.lock import server_lock
from server.store.store import Store

log = structlog.get_logger(__name__)


NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def utc_now() -> datetime:
    """Return the time, aware and in UTC."""
    return datetime.now(UTC)


def create_app(settings: Settings) -> FastAPI:
    """Return the application; nothing is opened before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="Greenroom",
        version=version("greenroom"),
        lifespan=lifespan,
        telemetry=NO_TELEMETRY,
        openapi_url=None,  # ours needs a key, see api.openapi
        docs_url=None,  # the stock page loads scripts from elsewhere; ours is in api.pages
        redoc_url=None,
    )
    install(app, allowed_hosts=settings.allowed_hosts)
    return app


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Build everything, take up unfinished jobs, and end it all in reverse order.

    Raises:
        AlreadyServingError: another process serves this data.
        StorageUnavailableError: the data folder or the database cannot be used.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(server_lock(settings.data_dir, settings.store_url))
        store = await Store.open(settings.store_url, settings.blob_url)
        stack.push_async_callback(store.close)
        services, epoch = await _build(settings, store, stack)
        restored = await services.generation.restore(epoch)
        log.info("server.ready", unfinished_jobs=restored, workers=len(services.workers.list()))
        yield services


async def _build(settings: Settings, store: Store, stack: AsyncExitStack) -> tuple[Services, str]:
    registry = Registry(settings.models, settings.data_dir, models_dir=settings.weights_dir)
    new_id = IdMaker(time.time, last=await store.greatest_id())
    epoch = new_id()
    devices = find_devices(settings.devices)
    rates = Rates({m: r for device in devices for m, r in (await store.rates.all(device)).items()})
    active = ActiveJobs()
    runner = Runner(store, active, rates, new_id, utc_now, epoch)

    def wake() -> None:
        dispatcher.wake()

    workers = _workers(settings, registry, rates, store, devices, wake)
    dispatcher = Dispatcher(workers, active, runner, rates)
    for worker in workers:
        stack.push_async_callback(worker.stop)
        await worker.start()
    stack.push_async_callback(dispatcher.stop)
    seen = Workers(workers, dispatcher)
    models = Models(registry, seen.loaded_models, settings.weights_dir)
    stack.push_async_callback(models.stop)
    models.prepare_default()
    generation = Generation(
        store,
        registry,
        active,
        dispatcher,
        rates,
        new_id,
        utc_now,
        max_jobs=settings.max_queued_jobs,
        max_jobs_per_owner=settings.max_queued_jobs_per_owner,
    )
    dispatcher.start()
    return Services(
        generation=generation,
        streams=Streams(store, active, dispatcher),
        gallery=Gallery(store),
        uploads=Uploads(
            store,
            SafeFetcher(),
            new_id,
            utc_now,
            max_bytes=settings.max_upload_mib * 2**20,
            max_pixels=settings.max_upload_megapixels * 1_000_000,
        ),
        keys=Keys(store, admin_token(settings), new_id, utc_now),
        models=models,
        workers=seen,
        health=Health(store, models, seen, active, runner),
        active=active,
        tally=runner.tally,
        allowed_hosts=settings.allowed_hosts,
        version=version("greenroom"),
    ), epoch


def _workers(
    settings: Settings,
    registry: Registry,
    rates: Rates,
    store: Store,
    devices: tuple[str, ...],
    on_change: Callable[[], None],
) -> list[EngineWorker]:
    return [
        EngineWorker(
            f"local-{device.replace(':', '-')}",
            device,
            infos=registry.infos,
            engine_model=registry.engine_model,
            rates=rates,
            load_source=Sources(store),
            on_change=on_change,
            preview_interval_seconds=settings.preview_interval_seconds,
        )
        for device in devices
    ]


def configure_logs(settings: Settings) -> None:
    """Set structlog up once: lines for people in a terminal, JSON elsewhere."""
    console = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
