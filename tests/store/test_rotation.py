"""A change of the master key: all or nothing, whoever is killed and whenever."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from server.domain.errors import MasterKeyError
from server.store.master_keys import MasterKeys
from server.store.store import Store
from tests.store.processes import victim
from tests.store.statements import execute, said
from tests.store.values import a_connection

KEYS = {f"c{i}": SecretStr(f"key-number-{i}") for i in range(6)}


@pytest.fixture
async def store(url: str, tmp_path: Path) -> AsyncIterator[Store]:
    """Six connections with keys."""
    opened = await Store.open(url, master_keys=MasterKeys(tmp_path))
    for name, key in KEYS.items():
        await opened.connections.add(a_connection(name=name), key)
    yield opened
    await opened.close()


async def keys_in(store: Store) -> dict[str, SecretStr | None]:
    rows = await store.connections.list()
    return {row.name: await store.connections.key(row.id) for row in rows}


async def sealed(url: str) -> dict[str, str]:
    rows = await said(url, "SELECT name, sealed_key FROM connections")
    return {row.name: row.sealed_key for row in rows}


def lines(folder: Path) -> list[str]:
    text = (folder / "master-key").read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob(".master-key-*"))


async def test_everything_is_sealed_anew_and_the_old_key_is_gone(
    store: Store, url: str, tmp_path: Path
) -> None:
    before, [old] = await sealed(url), lines(tmp_path)
    done = await store.sealing.rotate()
    assert (done.resealed, done.forgotten, done.dropped_old) == (6, (), True)
    [new] = lines(tmp_path)
    assert new != old
    assert set(before.values()).isdisjoint((await sealed(url)).values())
    assert await keys_in(store) == KEYS
    assert (tmp_path / "master-key").stat().st_mode & 0o777 == 0o600


async def test_a_server_that_runs_meanwhile_goes_on_reading_and_writing(
    store: Store, url: str, tmp_path: Path
) -> None:
    command = await Store.open(url, master_keys=MasterKeys(tmp_path))

    async def write() -> None:
        for i in range(15):
            await store.connections.add(a_connection(name=f"w{i}"), SecretStr(f"w-key-{i}"))

    async def rotate() -> None:
        for _ in range(5):
            await command.sealing.rotate()

    await asyncio.gather(write(), rotate())
    found = await keys_in(store)
    assert found == KEYS | {f"w{i}": SecretStr(f"w-key-{i}") for i in range(15)}
    assert await keys_in(command) == found
    await command.close()


@pytest.mark.parametrize("stage", ["new key kept", "rows written", "committed", "old key dropped"])
async def test_a_kill_at_any_stage_loses_no_key(
    store: Store, url: str, tmp_path: Path, stage: str
) -> None:
    if stage == "rows written" and url.startswith("postgresql"):
        await store.close()  # so that nothing but the lock of the killed one is in the way
    with victim("stop_the_rotation", url, str(tmp_path), stage):
        pass
    fresh = await Store.open(url, master_keys=MasterKeys(tmp_path))
    assert await fresh.sealing.trouble() is None
    assert await keys_in(fresh) == KEYS
    assert len(lines(tmp_path)) == (1 if stage == "old key dropped" else 2)
    # And the next one tidies up.
    assert (await fresh.sealing.rotate()).resealed == 6
    assert len(lines(tmp_path)) == 1
    assert await keys_in(fresh) == KEYS
    await fresh.close()


@pytest.mark.slow
async def test_kills_at_random_moments_lose_no_key(store: Store, url: str, tmp_path: Path) -> None:
    chance = random.Random(11)  # noqa: S311
    for _ in range(12):
        with victim("rotate_for_ever", url, str(tmp_path)):
            await asyncio.sleep(chance.uniform(0.01, 0.25))
        assert await store.sealing.trouble() is None
        assert await keys_in(store) == KEYS
    left = leftovers(tmp_path)
    for path in left:
        assert path.stat().st_mode & 0o777 == 0o600
        os.utime(path, (0, 0))
    await store.sealing.rotate()
    assert leftovers(tmp_path) == []


async def test_one_key_that_does_not_open_stops_all_and_changes_nothing(
    store: Store, url: str, tmp_path: Path
) -> None:
    await execute(url, "UPDATE connections SET sealed_key = 'damaged' WHERE name = 'c3'")
    before = await sealed(url)
    with pytest.raises(MasterKeyError, match="was changed"):
        await store.sealing.rotate()
    assert await sealed(url) == before
    # Unless its owner says that it may be forgotten.
    done = await store.sealing.rotate(forget=True)
    assert (done.resealed, done.forgotten) == (5, ("c3",))
    assert await keys_in(store) == KEYS | {"c3": None}
    assert len(lines(tmp_path)) == 1


async def test_a_lost_master_key_is_begun_anew_only_when_asked(
    store: Store, url: str, tmp_path: Path
) -> None:
    (tmp_path / "master-key").unlink()
    lost = await Store.open(url, master_keys=MasterKeys(tmp_path))
    with pytest.raises(MasterKeyError):
        await lost.sealing.rotate()
    assert (await lost.sealing.rotate(forget=True)).forgotten == tuple(KEYS)
    kept = await lost.connections.add(a_connection(name="again"), SecretStr("again"))
    assert await lost.connections.key(kept.id) == SecretStr("again")
    await lost.close()


async def test_given_keys_change_by_putting_the_new_one_first(url: str, tmp_path: Path) -> None:
    old, new = SecretStr("o" * 40), SecretStr("n" * 40)
    before = await Store.open(url, master_keys=MasterKeys(tmp_path, [old]))
    kept = await before.connections.add(a_connection(), SecretStr("k"))
    await before.close()
    both = await Store.open(url, master_keys=MasterKeys(tmp_path, [new, old]))
    more = await both.connections.add(a_connection(name="more"), SecretStr("m"))
    assert (await both.sealing.rotate()).resealed == 2
    await both.close()
    after = await Store.open(url, master_keys=MasterKeys(tmp_path, [new]))
    assert await after.connections.key(kept.id) == SecretStr("k")
    assert await after.connections.key(more.id) == SecretStr("m")
    await after.close()
    assert not (tmp_path / "master-key").exists()
