"""A full disk, a read-only folder, a database that is held or gone: each by its name."""

import asyncio
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text

from server.domain.errors import AppError, StorageFullError, StorageUnavailableError
from server.store.database import Database
from server.store.store import Store
from tests.requirements import require
from tests.store import cluster, disks
from tests.store.processes import answer, victim
from tests.store.values import a_job

FULL = "storage-full: the disk is full; free some space, what is unfinished goes on then"


def test_a_full_disk_is_named_and_nothing_is_lost_or_left_over(tmp_path: Path) -> None:
    require(disks.WHAT, present=disks.can_mount())
    url, blobs = f"sqlite:///{tmp_path / 'greenroom.db'}", str(tmp_path / "blobs")
    said = answer("fill_the_disk", url, blobs, prefix=disks.small(tmp_path, 4096))
    assert said == [["done"] * 3, [FULL] * 3, ["done"] * 3]


async def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    require(disks.WHAT, present=disks.can_mount())
    url, blobs = f"sqlite:///{tmp_path / 'greenroom.db'}", str(tmp_path / "blobs")
    (fresh,) = answer("open_and_say", url, blobs, prefix=disks.read_only(tmp_path))
    await (await Store.open(url, blobs)).close()
    (used,) = answer("open_and_say", url, blobs, prefix=disks.read_only(tmp_path))
    for said in (fresh, used):
        assert said.startswith("storage-unavailable")
        assert "writable" in said
        assert str(tmp_path) not in said


def test_a_read_only_blob_folder_is_named(tmp_path: Path) -> None:
    require(disks.WHAT, present=disks.can_mount())
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    url = f"sqlite:///{tmp_path / 'greenroom.db'}"
    (said,) = answer("open_and_say", url, str(blobs), prefix=disks.read_only(blobs))
    assert said.startswith("storage-unavailable: storage is read-only")


@pytest.mark.slow  # two writers wait their five seconds
async def test_a_database_that_another_process_holds_is_named_and_can_be_read(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'greenroom.db'}"
    store = await Store.open(url)
    job = a_job()
    await store.jobs.add(job, idempotency_key=None, request_hash="h")
    with victim("hold_the_database", url, "3600"):
        start = time.monotonic()
        waiting = [
            asyncio.create_task(store.jobs.start(job.id, epoch="e", at=job.created_at)),
            asyncio.create_task(store.check()),
        ]
        assert await store.jobs.get(job.id) == job
        said = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(one, StorageUnavailableError) for one in said)
        assert "another process holds the database" in str(said[0])
        assert time.monotonic() - start > 5
    assert await store.jobs.start(job.id, epoch="e", at=job.created_at) is not None
    await store.close()


async def test_a_database_that_is_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'greenroom.db'}"
    store = await Store.open(url)
    with victim("hold_the_database", url, "0.5"):
        await store.check()
    await store.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://host/name", "'mysql' is not known"),
        ("sqlite://", "is not known"),
        ("sqlite:///:memory:", "is not known"),
        ("not an address", "is no address"),
        ("sqlite:////no/such/folder/greenroom.db", "folder must exist"),
        ("postgresql://someone:secret@127.0.0.1:1/name", "does not answer"),
    ],
)
async def test_a_database_that_cannot_be_opened_is_named_without_secrets(
    url: str, said: str
) -> None:
    with pytest.raises(StorageUnavailableError, match=said) as caught:
        await Store.open(url)
    assert "secret" not in str(caught.value)
    assert "folder/" not in str(caught.value)


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "greenroom.db").write_bytes(b"I am a letter to my aunt. " * 400)
    with pytest.raises(StorageUnavailableError, match="something else"):
        await Store.open(f"sqlite:///{tmp_path / 'greenroom.db'}")


def test_postgresql_is_here() -> None:
    """The one loud skip where it is missing; the suite then runs on SQLite alone."""
    require(
        "PostgreSQL (initdb and pg_ctl, or GREENROOM_TEST_POSTGRES_URL)",
        present=cluster.is_available(),
    )


@pytest.mark.postgres
@pytest.mark.skipif(not cluster.is_available(), reason="see test_postgresql_is_here")
class TestPostgres:
    @pytest.mark.parametrize(
        ("state", "kind", "said"),
        [
            ("53100", StorageFullError, "disk is full"),
            ("53300", StorageUnavailableError, "out of connections"),
            ("57P01", StorageUnavailableError, "does not answer"),
            ("25006", StorageUnavailableError, "read-only"),
            ("42501", StorageUnavailableError, "denies a right"),
        ],
    )
    async def test_its_errors_are_named(
        self, migrated: str, state: str, kind: type[AppError], said: str
    ) -> None:
        def raise_it(connection: Connection) -> None:
            connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION SQLSTATE '{state}'; END $$"))

        database = Database.at(migrated)
        try:
            with pytest.raises(kind, match=said):
                await database.define(raise_it)
        finally:
            await database.close()

    async def test_lost_connections_are_made_again_without_an_error(self, migrated: str) -> None:
        store = await Store.open(migrated)
        try:
            for _ in range(3):
                job = a_job()
                await store.jobs.add(job, idempotency_key=None, request_hash="h")
                assert await store.jobs.get(job.id) == job
                with psycopg.connect(migrated) as other:
                    other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name LIKE 'greenroom%'"
                        " AND datname = current_database()"
                    )
        finally:
            await store.close()

    async def test_a_user_without_rights_is_named(self, postgres: str) -> None:
        with cluster.fresh_database(postgres) as url:
            cluster.execute(url, "CREATE ROLE visitor LOGIN")
            try:
                with pytest.raises(StorageUnavailableError, match="denies a right"):
                    await Store.open(url.replace("greenroom@", "visitor@"))
            finally:
                cluster.execute(url, "DROP ROLE visitor")

    async def test_all_spellings_of_its_address_work(self, migrated: str) -> None:
        rest = migrated.partition("://")[2]
        for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
            await (await Store.open(f"{scheme}://{rest}")).close()
