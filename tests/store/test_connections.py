"""Connections in both databases: their order, their names, and keys that stay sealed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from server.domain.connections import ProviderKind
from server.domain.errors import ConflictError, MasterKeyError
from server.store.master_keys import MasterKeys
from server.store.store import Store
from tests.store.statements import execute, said
from tests.store.values import a_connection, a_job, new_id

KEY = SecretStr("AIza-a-key-that-must-not-leak")


@pytest.fixture
async def store(url: str, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(url, master_keys=MasterKeys(tmp_path))
    yield opened
    await opened.close()


async def test_a_connection_comes_back_as_it_was_kept(store: Store) -> None:
    connection = a_connection(base_url="https://images.example/v1", takes_pictures=True)
    kept = await store.connections.add(connection, KEY)
    assert kept == connection.model_copy(update={"has_key": True})
    assert await store.connections.get(connection.id) == kept
    assert await store.connections.list() == [kept]
    assert await store.connections.key(connection.id) == KEY
    assert await store.greatest_id() == connection.id


async def test_without_a_key_no_master_key_is_made(store: Store, tmp_path: Path) -> None:
    connection = await store.connections.add(a_connection(), None)
    assert not connection.has_key
    assert await store.connections.key(connection.id) is None
    assert not (tmp_path / "master-key").exists()


async def test_the_key_stands_nowhere_in_the_database(store: Store, url: str) -> None:
    await store.connections.add(a_connection(), KEY)
    for statement in ("SELECT * FROM connections", "SELECT * FROM about"):
        assert KEY.get_secret_value() not in repr(await said(url, statement))
    await store.close()
    if url.startswith("sqlite"):
        for file in Path(url.removeprefix("sqlite:///")).parent.iterdir():
            assert KEY.get_secret_value().encode() not in file.read_bytes(), file.name


async def test_a_change_keeps_the_key_and_a_changed_address_seals_it_anew(store: Store) -> None:
    old = await store.connections.add(a_connection(), KEY)
    new = old.model_copy(update={"name": "other", "base_url": "https://x.example", "position": 7})
    assert await store.connections.change(new) == new
    assert await store.connections.key(old.id) == KEY
    bare = await store.connections.change_key(new, None)
    assert (bare.has_key, await store.connections.key(old.id)) == (False, None)


async def test_two_connections_never_have_one_name(store: Store) -> None:
    first = await store.connections.add(a_connection(), None)
    second = await store.connections.add(a_connection(name="second"), None)
    with pytest.raises(ConflictError, match="'nano'"):
        await store.connections.add(a_connection(), KEY)
    with pytest.raises(ConflictError, match="'nano'"):
        await store.connections.change(second.model_copy(update={"name": "nano"}))
    assert await store.connections.list() == [first, second]


async def test_new_ones_come_last_and_the_order_is_the_owners(store: Store) -> None:
    a, b, c = [
        await store.connections.add(a_connection(name=name), None) for name in ("a", "b", "c")
    ]
    await store.connections.order([c.id, a.id])
    assert [one.name for one in await store.connections.list()] == ["c", "a", "b"]
    assert await store.connections.delete(c.id)
    assert not await store.connections.delete(c.id)
    await store.connections.add(a_connection(name="d"), None)
    assert [one.name for one in await store.connections.list()] == ["a", "b", "d"]
    assert [b.name] == ["b"]


async def test_every_change_is_told_apart(store: Store) -> None:
    seen = [await store.sealing.changed()]
    connection = await store.connections.add(a_connection(), KEY)
    seen.append(await store.sealing.changed())
    await store.connections.change_key(connection, KEY)
    seen.append(await store.sealing.changed())
    await store.connections.order([connection.id])
    seen.append(await store.sealing.changed())
    await store.connections.delete(connection.id)
    seen.append(await store.sealing.changed())
    assert len(set(seen)) == 5


async def test_an_unfinished_job_needs_its_connection(store: Store) -> None:
    job = a_job()
    await store.jobs.add(job, idempotency_key=None, request_hash="h")
    assert await store.connections.needed_by(job.resolved.model) == job.id
    assert await store.connections.needed_by("nano") is None


async def test_a_wrong_master_key_is_told_and_nothing_is_overwritten(
    store: Store, url: str, tmp_path: Path
) -> None:
    kept = await store.connections.add(a_connection(), KEY)
    (tmp_path / "elsewhere").mkdir()
    for folder, given in ((tmp_path / "elsewhere", []), (tmp_path, [SecretStr("x" * 32)])):
        wrong = await Store.open(url, master_keys=MasterKeys(folder, given))
        trouble = await wrong.sealing.trouble()
        assert trouble is not None
        assert "master key" in trouble
        with pytest.raises(MasterKeyError):
            await wrong.connections.key(kept.id)
        with pytest.raises(MasterKeyError):
            await wrong.connections.add(a_connection(name="other"), KEY)
        with pytest.raises(MasterKeyError):
            await wrong.connections.change_key(kept, SecretStr("new"))
        # What needs no key goes on.
        assert await wrong.connections.list() == [kept]
        await wrong.close()
    assert not list((tmp_path / "elsewhere").glob("master-key"))
    assert await store.sealing.trouble() is None
    assert await store.connections.key(kept.id) == KEY


async def test_rows_that_were_swapped_in_the_database_do_not_open(store: Store, url: str) -> None:
    a = await store.connections.add(a_connection(name="a"), KEY)
    b = await store.connections.add(a_connection(name="b", provider=ProviderKind.OPENAI), None)
    swap = (
        "UPDATE connections SET sealed_key = (SELECT sealed_key FROM connections WHERE name = 'a'),"
        " master_key_id = (SELECT master_key_id FROM connections WHERE name = 'a')"
        " WHERE name = 'b'"
    )
    await execute(url, swap)
    with pytest.raises(MasterKeyError, match="was changed"):
        await store.connections.key(b.id)
    assert await store.connections.key(a.id) == KEY


async def test_many_writers_at_once_keep_every_key_and_every_place(store: Store) -> None:
    names = [f"c{i}" for i in range(20)]
    await asyncio.gather(*(store.connections.add(a_connection(name=n), KEY) for n in names))
    rows = await store.connections.list()
    assert sorted(row.position for row in rows) == list(range(20))
    assert [await store.connections.key(row.id) for row in rows] == [KEY] * 20
    assert await store.connections.key(new_id()) is None
