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
from server.domain.row_times import RowTimes
from server.engine.client import EngineWorker
from server.engine.devices import find_devices
from server.engine.lending import Lender
from server.engine.messages import Limits
from server.net.fetch import SafeFetcher
from server.registry.registry import Registry
from server.services.active import ActiveJobs
from server.services.adapter_files import AdapterFiles
from server.services.adapters import Adapters
from server.services.budgets import Budgets
from server.services.calls import Calls
from server.services.chains import Chains
from server.services.circuits import Circuits
from server.services.connections import Connections
from server.services.dispatcher import Dispatcher
from server.services.gallery import Gallery
from server.services.generation import Generation
from server.services.health import Health
from server.services.keys import Keys
from server.services.lanes import Lanes
from server.services.measurements import Measurements
from server.services.models import Models
from server.services.provider_maker import ProviderMaker
from server.services.record import Record
from server.services.remotes import Remotes
from server.services.residency import Residency
from server.services.routing import Router
from server.services.runner import Runner
from server.services.services import Services
from server.services.sources import Sources
from server.services.streams import Streams
from server.services.uploads import Uploads
from server.services.usage import Usage
from server.services.workers import Workers
from server.settings import Settings, admin_token
from server.store.lock import server_lock
from server.store.master_keys import MasterKeys
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
async def open_services(
    settings: Settings, *, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[Services]:
    """Build everything, take up unfinished jobs, and end it all in reverse order.

    Args:
        settings: decide every part.
        now: the clock.

    Raises:
        AlreadyServingError: another process serves this data.
        StorageUnavailableError: the data folder or the database cannot be used.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(server_lock(settings.data_dir, settings.store_url))
        keys = MasterKeys(settings.data_dir, settings.master_keys)
        store = await Store.open(settings.store_url, settings.blob_url, master_keys=keys)
        stack.push_async_callback(store.close)
        house = _House(settings, store, now, await store.greatest_id())
        for device in house.devices:
            house.rates.update(await store.rates.all(device))
        house.row_times.update(await store.row_times.all())
        services = await house.open(stack)
        restored = await services.generation.restore(house.epoch)
        log.info("server.ready", unfinished_jobs=restored, workers=len(house.workers))
        yield services


class _House:
    """All objects of one server, built in the order in which they need one another."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        now: Callable[[], datetime],
        last_id: str | None,
    ) -> None:
        self.settings, self.store, self.now = settings, store, now
        self.new_id = IdMaker(lambda: now().timestamp(), last=last_id)
        self.epoch = self.new_id()
        self.registry = make_registry(settings)
        self.devices = find_devices(settings.devices)
        self.rates = Rates()
        self.measurements = Measurements(store)
        self.row_times = RowTimes(on_learn=self.measurements.keep)
        self.sources = Sources(store)
        self.adapter_files = AdapterFiles(settings.weights_dir)
        self.adapters = Adapters(
            store, self.adapter_files, now, max_bytes=settings.max_adapter_mib * 2**20
        )
        self.active = ActiveJobs()
        self.runner = Runner(
            store, self.active, self.rates, self.new_id, now, self.epoch, settings.tariff
        )
        self.workers = [self._worker(device) for device in self.devices]
        self.provider_maker = ProviderMaker(self.sources)
        self.remotes = Remotes(store, self.provider_maker)
        self.budgets = Budgets(settings.tariff, self.rates, self.remotes)
        self.lanes = Lanes(self.remotes, Rates(), time.monotonic, now)
        self.record = Record(store, self.runner, now)
        self.calls = Calls(store, self.runner, self.record, self.lanes, time.monotonic)
        self.lender = Lender(self.workers, settings.data_dir)
        self.dispatcher = Dispatcher(
            self.workers,
            self.active,
            self.runner,
            self.calls,
            self.record,
            self.lanes,
            self.rates,
            loans=lambda: self.lender.loans,
        )
        self.chains = Chains(store, self.registry)
        self.seen = Workers(self.workers, self.dispatcher, self.lender)
        self.residency = Residency(self.workers, self.registry)
        self.models = Models(
            self.registry, self.residency.loaded_models, settings.weights_dir, self.remotes
        )

    async def open(self, stack: AsyncExitStack) -> Services:
        """Start what runs by itself; `stack` ends it in reverse order."""
        self.adapter_files.sweep()
        stack.push_async_callback(self.measurements.stop)
        for worker in self.workers:
            stack.push_async_callback(worker.stop)
            await worker.start()
        stack.push_async_callback(self.lender.stop)
        await self.lender.start()
        await stack.enter_async_context(self.provider_maker)
        stack.push_async_callback(self.remotes.stop)
        await self.remotes.start()
        stack.push_async_callback(self.models.stop)
        self.models.prepare_default()
        stack.push_async_callback(self.dispatcher.stop)
        services = self._services()
        self.remotes.on_change(self.dispatcher.connections_changed)
        await self.calls.restore()
        self.dispatcher.start()
        return services

    def _services(self) -> Services:
        store, settings = self.store, self.settings
        return Services(
            generation=self._generation(),
            streams=Streams(store, self.active, self.dispatcher),
            gallery=Gallery(store),
            uploads=self._uploads(),
            sources=self.sources,
            adapters=self.adapters,
            connections=Connections(store, self.remotes, self.registry.has, self.new_id, self.now),
            chains=self.chains,
            circuits=Circuits(store, self.lanes, self.remotes),
            keys=self._keys(),
            usage=Usage(store, settings.tariff, self.now, self.budgets.cheapest),
            models=self.models,
            workers=self.seen,
            residency=self.residency,
            health=Health(store, self.models, self.seen, self.active, self.runner),
            active=self.active,
            tally=self.runner.tally,
            allowed_hosts=settings.allowed_hosts,
            version=version("greenroom"),
        )

    def _generation(self) -> Generation:
        return Generation(
            self.store,
            Router(self.registry, self.remotes, self.chains, self.sources, self.adapters),
            self.record,
            self.remotes,
            self.active,
            self.dispatcher,
            self.new_id,
            self.now,
            max_jobs=self.settings.max_queued_jobs,
            max_jobs_per_owner=self.settings.max_queued_jobs_per_owner,
            budgets=self.budgets,
        )

    def _keys(self) -> Keys:
        token, currency = admin_token(self.settings), self.settings.currency
        return Keys(self.store, token, self.new_id, self.now, currency=currency)

    def _uploads(self) -> Uploads:
        return Uploads(
            self.store,
            SafeFetcher(),
            self.new_id,
            self.now,
            max_bytes=self.settings.max_upload_mib * 2**20,
            max_pixels=self.settings.max_upload_megapixels * 1_000_000,
        )

    def _worker(self, device: str) -> EngineWorker:
        return EngineWorker(
            f"local-{device.replace(':', '-')}",
            device,
            infos=self.registry.infos,
            engine_model=self.registry.engine_model,
            rates=self.rates,
            load_source=self.sources,
            adapter_file=self.adapter_files.path,
            row_times=self.row_times,
            limits=limits(self.settings),
            on_change=lambda: self.dispatcher.wake(),  # which is made after the workers
            preview_interval_seconds=self.settings.preview_interval_seconds,
        )


def limits(settings: Settings) -> Limits:
    """Return how much memory each worker may take."""
    device, main, minutes = (
        settings.device_memory_gib,
        settings.main_memory_gib,
        settings.keep_alive_minutes,
    )
    return Limits(
        device_bytes=None if device is None else round(device * 2**30),
        main_bytes=None if main is None else round(main * 2**30),
        keep_alive_seconds=None if minutes is None else minutes * 60,
    )


def make_registry(settings: Settings) -> Registry:
    """Return the registry of models that `settings` name."""
    token = settings.hub_token
    return Registry(
        settings.models,
        settings.data_dir,
        models_dir=settings.weights_dir,
        hub_token=None if token is None else token.get_secret_value(),
    )


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
