"""What becomes of units whose worker ended; the workers here end where a test wants it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from server.domain.connections import Connection
from server.domain.errors import GenerationFailedError, WorkerDiedError
from server.domain.events import Event, Failed, Started
from server.domain.images import ResolvedRequest
from server.domain.jobs import Job, JobState
from server.domain.rates import Rates
from server.providers.remote import RemoteProvider
from server.services.active import ActiveJob, ActiveJobs
from server.services.calls import Calls
from server.services.dispatcher import Dispatcher
from server.services.lanes import Lanes
from server.services.record import Record
from server.services.remotes import Remotes
from server.services.runner import MAX_DEATHS, Runner
from server.store.store import Store
from tests.store.values import NOW, a_job, new_id

POISON = "poison"


def no_provider(connection: Connection, key: SecretStr | None) -> RemoteProvider:
    raise AssertionError((connection, key))


class Mortal:
    """A worker that ends while it loads the model for one prompt, and refuses all others."""

    id = "mortal"
    device = "cpu"
    is_ready = True
    loaded_models: tuple[str, ...] = ()
    held_models: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()

    async def generate(self, request: ResolvedRequest) -> AsyncGenerator[Event, None]:
        self.prompts.append(request.prompt)
        if request.prompt == POISON:
            await asyncio.sleep(0)  # all of a job's pictures come before the end
            is_first = request.seed == a_job().resolved.seed
            raise WorkerDiedError("ended by SIGKILL", started=is_first)
        self.begun.set()
        yield Started(0, 4)
        await self.may_end.wait()
        yield Failed(0, GenerationFailedError("as it was told"))


class House:
    """A dispatcher over a real store, with one worker."""

    def __init__(self, store: Store) -> None:
        self.store, self.worker, self.active = store, Mortal(), ActiveJobs()
        self._rates = Rates()
        runner = Runner(store, self.active, self._rates, new_id, lambda: NOW, "epoch")
        lanes = Lanes(Remotes(store, no_provider), Rates(), time.monotonic, lambda: NOW)
        record = Record(store, runner, lambda: NOW)
        calls = Calls(store, runner, record, lanes, time.monotonic)
        self.dispatcher = Dispatcher(
            [self.worker], self.active, runner, calls, record, lanes, self._rates
        )

    async def submit(self, prompt: str, *, num_images: int = 1, deaths: int = 0) -> ActiveJob:
        resolved = a_job().resolved.model_copy(update={"prompt": prompt, "num_images": num_images})
        job = a_job(resolved=resolved, deaths=deaths)
        await self.store.jobs.add(job, idempotency_key=None, request_hash="h")
        active = self.active.add(job)
        await self.dispatcher.admit(active)
        return active

    async def row(self, active: ActiveJob) -> Job:
        job = await self.store.jobs.get(active.job.id)
        assert job is not None
        return job


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await Store.open(f"sqlite:///{tmp_path / 'greenroom.db'}")
    house = House(store)
    house.dispatcher.start()
    yield house
    await house.dispatcher.stop()
    await store.close()


@pytest.mark.parametrize("num_images", [1, 2])
async def test_a_job_whose_model_ends_every_worker_that_loads_it_fails_at_last(
    house: House, num_images: int
) -> None:
    active = await house.submit(POISON, num_images=num_images)
    async with asyncio.timeout(20):
        await active.ended.wait()
    row = await house.row(active)
    assert (row.state, row.deaths) == (JobState.FAILED, MAX_DEATHS)
    assert row.error is not None
    assert row.error.code == "worker-died"


async def test_nobody_passes_a_suspect_that_waits_for_its_worker_to_be_empty(house: House) -> None:
    await house.submit("first")
    async with asyncio.timeout(20):
        await house.worker.begun.wait()
        await house.submit("suspect", deaths=1)
        later = await house.submit("later")
        await asyncio.sleep(0.1)
        assert house.worker.prompts == ["first"]
        house.worker.may_end.set()
        await later.ended.wait()
    assert house.worker.prompts == ["first", "suspect", "later"]
