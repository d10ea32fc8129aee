"""A house for the chain: all of our own parts, over members that a test controls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from server.domain.connections import Connection
from server.domain.images import ImageRequest
from server.domain.keys import Caller, Scope
from server.domain.lending import Loan
from server.domain.rates import Rates
from server.domain.tariff import Tariff
from server.providers.remote import RemoteProvider
from server.registry.registry import Registry
from server.services.active import ActiveJobs
from server.services.adapter_files import AdapterFiles
from server.services.adapters import Adapters
from server.services.budgets import Budgets
from server.services.calls import Calls
from server.services.chains import Chains
from server.services.dispatcher import Dispatcher
from server.services.generation import Generation
from server.services.lanes import Lanes
from server.services.record import Record
from server.services.remotes import Remotes
from server.services.routing import Router
from server.services.runner import Runner
from server.services.sources import Sources
from server.services.views import JobView
from server.settings import default_models_file
from server.store.master_keys import MasterKeys
from server.store.store import Store
from tests.services.members import Easel, Painter
from tests.store.values import NOW, new_id

ANA = Caller(key_id="key", owner="ana", scopes=frozenset({Scope.GENERATE}))
MODEL = "scribble-xl"
NOT_PRICED = Tariff()
MASTER_KEY = SecretStr("a-master-key-for-tests-0123456789abcdef")


class House:
    """One server without its HTTP, as `open_house` builds it."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        models_dir: Path,
        *painters: Painter,
        tariff: Tariff = NOT_PRICED,
        grace_seconds: float = 0.0,
    ) -> None:
        self.store, self.easel = store, Easel()
        self._painters = {painter.connection.name: painter for painter in painters}
        self.remotes, self.active, self.rates = Remotes(store, self._make), ActiveJobs(), Rates()
        self.seconds_ahead = 0.0  # of the real clock
        self.loans: tuple[Loan, ...] = ()
        self.epoch = new_id()
        self.budgets = Budgets(tariff, self.rates, self.remotes)
        self.runner = Runner(
            store, self.active, self.rates, new_id, lambda: NOW, self.epoch, tariff
        )
        self.lanes = Lanes(self.remotes, Rates(), self._clock, lambda: NOW)
        self.record = Record(store, self.runner, lambda: NOW)
        self.calls = Calls(store, self.runner, self.record, self.lanes, self._clock)
        self.registry = Registry(default_models_file(), folder, models_dir=models_dir)
        self.chains = Chains(store, self.registry)
        self.dispatcher = Dispatcher(
            [self.easel],
            self.active,
            self.runner,
            self.calls,
            self.record,
            self.lanes,
            self.rates,
            self._clock,
            lambda: self.loans,
            grace_seconds=grace_seconds,
        )
        self.generation = self._generation(folder)

    def _make(self, connection: Connection, key: SecretStr | None) -> RemoteProvider:
        del key
        return self._painters[connection.name]

    async def open(self) -> None:
        """Keep connections to the painters, take up unfinished jobs, and start."""
        known = {row.name for row in await self.store.connections.list()}
        for name, painter in self._painters.items():
            if name not in known:
                await self.store.connections.add(painter.connection, SecretStr("a-key"))
        self.remotes.on_change(self.dispatcher.connections_changed)
        await self.remotes.start()
        await self.calls.restore()
        await self.generation.restore(self.epoch)
        self.dispatcher.start()

    async def close(self) -> None:
        """End it as a stop of the server does."""
        await self.dispatcher.stop()
        await self.remotes.stop()
        await self.store.close()

    def _clock(self) -> float:
        return time.monotonic() + self.seconds_ahead

    def _generation(self, folder: Path) -> Generation:
        adapters = Adapters(self.store, AdapterFiles(folder), lambda: NOW, max_bytes=2**20)
        self.router = Router(
            self.registry, self.remotes, self.chains, Sources(self.store), adapters
        )
        return Generation(
            self.store,
            self.router,
            self.record,
            self.remotes,
            self.active,
            self.dispatcher,
            new_id,
            lambda: NOW,
            max_jobs=100,
            max_jobs_per_owner=100,
            budgets=self.budgets,
        )

    async def submit(self, caller: Caller = ANA, **request: Any) -> JobView:
        """Ask for a picture."""
        asked = {"prompt": "a fox", "model": MODEL, "width": 64, "height": 64, "seed": 7}
        return await self.generation.submit(ImageRequest.model_validate(asked | request), caller)

    async def draw(self, **request: Any) -> JobView:
        """Ask for pictures and return the ended job as it is kept."""
        return await self.end((await self.submit(**request)).id)

    async def end(self, job_id: str) -> JobView:
        """Return a job once it has ended, read anew from its rows."""
        async with asyncio.timeout(20):
            await self.generation.wait(job_id, ANA, 20)
        return await self.generation.job(job_id, ANA)


@asynccontextmanager
async def open_house(
    folder: Path,
    models_dir: Path,
    *painters: Painter,
    tariff: Tariff = NOT_PRICED,
    grace_seconds: float = 0.0,
) -> AsyncIterator[House]:
    """Build a house on the database in `folder`, take up its jobs, and start it."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    database = f"sqlite:///{folder / 'greenroom.db'}"
    store = await Store.open(
        database, str(folder / "blobs"), master_keys=MasterKeys(folder, [MASTER_KEY])
    )
    house = House(store, folder, models_dir, *painters, tariff=tariff, grace_seconds=grace_seconds)
    try:
        await house.open()
        yield house
    finally:
        await house.close()
