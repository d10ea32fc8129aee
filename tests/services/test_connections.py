"""Connections as the rest of the server has them: providers in memory, true to the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from server.domain.connections import ConnectionChange, ConnectionWish, ProviderKind
from server.domain.errors import (
    ConflictError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelUnavailableError,
    NotFoundError,
    RequestRefusedError,
)
from server.domain.ids import IdMaker
from server.services.connections import Connections
from server.services.provider_maker import ProviderMaker
from server.services.remotes import Remotes
from server.services.sources import Sources
from server.store.master_keys import MasterKeys
from server.store.store import Store
from tests.store.values import a_job


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(tmp_path)
    yield opened
    await opened.close()


async def open_store(folder: Path) -> Store:
    return await Store.open(f"sqlite:///{folder / 'g.db'}", master_keys=MasterKeys(folder))


@pytest.fixture
async def remotes(store: Store) -> AsyncIterator[Remotes]:
    async with ProviderMaker(Sources(store)) as make:
        made = Remotes(store, make)
        await made.start()
        yield made
        await made.stop()


@pytest.fixture
def connections(store: Store, remotes: Remotes) -> Connections:
    return make_connections(store, remotes)


def make_connections(store: Store, remotes: Remotes) -> Connections:
    new_id = IdMaker(time.time)
    return Connections(store, remotes, {"sdxl"}.__contains__, new_id, lambda: datetime.now(UTC))


def wish(name: str = "nano", **changes: object) -> ConnectionWish:
    values: dict[str, object] = {
        "name": name,
        "provider": ProviderKind.GEMINI,
        "model": "gemini-3.1-flash-image",
        "key": SecretStr("AIza-key"),
    }
    return ConnectionWish.model_validate(values | changes)


async def test_a_provider_is_kept_until_its_connection_changes(connections: Connections) -> None:
    changes: list[int] = []
    connections.on_change(lambda: changes.append(len(connections.providers())))
    made = await connections.create(wish())
    first = connections.provider("nano")
    await connections.create(wish("second"))
    second = next(one for one in await connections.list() if one.name == "second")
    await connections.order([second.id])
    assert connections.provider("nano") is first
    assert list(connections.providers()) == ["second", "nano"]
    await connections.edit(made.id, ConnectionChange(key=SecretStr("another")))
    assert connections.provider("nano") is not first
    await connections.edit(made.id, ConnectionChange(is_active=False))
    assert list(connections.providers()) == ["second"]
    with pytest.raises(ModelNotFoundError, match="'nano'"):
        connections.provider("nano")
    assert changes[0] == 1
    assert changes[-1] == 1


async def test_what_its_model_takes_is_known_with_the_connections_defaults(
    connections: Connections,
) -> None:
    await connections.create(wish(parameters={"image_size": "2K"}))
    remote = connections.remote("nano")
    assert remote is not None
    assert (remote.declared.id, remote.reason) == ("nano", None)
    assert remote.declared.remote is not None
    defaults = {option.name: option.default for option in remote.declared.remote.options}
    assert defaults["image_size"] == "2K"


async def test_without_its_key_nothing_is_called(connections: Connections) -> None:
    made = await connections.create(wish(key=None))
    with pytest.raises(ModelUnavailableError, match="has no key"):
        connections.provider("nano")
    await connections.edit(made.id, ConnectionChange(key=SecretStr("AIza")))
    assert list(connections.providers()) == ["nano"]


async def test_changes_of_another_process_are_taken_over(
    connections: Connections, remotes: Remotes, tmp_path: Path
) -> None:
    other_store = await open_store(tmp_path)
    async with ProviderMaker(Sources(other_store)) as make:
        other = make_connections(other_store, Remotes(other_store, make))
        await other.create(wish())
    await other_store.sealing.rotate()
    await other_store.close()
    for _ in range(100):
        if connections.providers():
            break
        await asyncio.sleep(0.1)
    assert list(connections.providers()) == ["nano"]
    assert remotes.names == {"nano"}


async def test_a_job_keeps_its_connection(connections: Connections, store: Store) -> None:
    made = await connections.create(wish("scribble-xl"))  # as a_job draws with it
    job = a_job()
    await store.jobs.add(job, idempotency_key=None, request_hash="h")
    with pytest.raises(ConflictError, match=f"job '{job.id}' draws with connection"):
        await connections.delete(made.id)
    with pytest.raises(ConflictError, match="renamed"):
        await connections.edit(made.id, ConnectionChange(name="other"))
    assert not (await connections.edit(made.id, ConnectionChange(is_active=False))).is_active


async def test_a_copy_of_a_copy_fits_into_a_name(connections: Connections) -> None:
    made = await connections.create(wish("n" * 64))
    copies = [await connections.duplicate(made.id) for _ in range(3)]
    assert [len(copy.name) for copy in copies] == [64, 64, 64]
    assert len({copy.name for copy in copies}) == 3


async def test_names_and_ids_both_find_a_connection(connections: Connections) -> None:
    made = await connections.create(wish())
    assert await connections.get("nano") == await connections.get(made.id) == made
    with pytest.raises(NotFoundError, match="there are nano"):
        await connections.get("nan")


async def test_a_name_of_a_model_is_refused(connections: Connections) -> None:
    with pytest.raises(ConflictError, match="model 'sdxl'"):
        await connections.create(wish("sdxl"))


async def test_a_model_that_came_later_wins_and_the_connection_says_so(
    store: Store, remotes: Remotes
) -> None:
    models: set[str] = set()
    connections = Connections(
        store, remotes, models.__contains__, IdMaker(time.time), lambda: datetime.now(UTC)
    )
    made = await connections.create(wish())
    assert made.reason is None
    models.add("nano")
    reason = (await connections.get("nano")).reason
    assert reason is not None
    assert "rename the connection" in reason
    renamed = await connections.edit(made.id, ConnectionChange(name="other"))
    assert renamed.reason is None


async def test_a_changed_master_key_does_not_disturb_a_running_provider(
    connections: Connections, store: Store, remotes: Remotes
) -> None:
    await connections.create(wish())
    first = connections.provider("nano")
    await store.sealing.rotate()
    await remotes.refresh()
    assert connections.provider("nano") is first


async def test_a_lost_master_key_is_told_and_a_found_one_heals(
    store: Store, tmp_path: Path
) -> None:
    async with ProviderMaker(Sources(store)) as make:
        first = Remotes(store, make)
        await make_connections(store, first).create(wish())
        await first.stop()
    hidden = (tmp_path / "master-key").rename(tmp_path / "hidden")
    later = await open_store(tmp_path)
    async with ProviderMaker(Sources(later)) as make:
        remotes = Remotes(later, make)
        await remotes.start()
        with pytest.raises(ModelUnavailableError, match="master key is missing"):
            remotes.provider("nano")
        hidden.rename(tmp_path / "master-key")
        await remotes.refresh()
        assert list(remotes.providers()) == ["nano"]
        await remotes.stop()
    await later.close()


async def test_defaults_are_checked_by_type_and_range(connections: Connections) -> None:
    for wrong in ({"image_size": 7}, {"image_size": "9K"}, {"image_size": True}, {"other": 1}):
        with pytest.raises((InvalidRequestError, RequestRefusedError), match=next(iter(wrong))):
            await connections.create(wish(parameters=wrong))
    assert await connections.list() == ()
