"""The same suite on SQLite and, where it is installed, on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from server.store.schema import metadata
from server.store.store import Store
from tests.store import cluster

# Without PostgreSQL one test says so (test_database.py), instead of every second one here.
DATABASES = [
    "sqlite",
    *([pytest.param("postgresql", marks=pytest.mark.postgres)] if cluster.is_available() else []),
]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with cluster.running() as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres: str) -> Iterator[str]:
    """The URL of a database that has its tables: one for all tests, which is faster."""

    async def make(url: str) -> None:
        await (await Store.open(url)).close()

    with cluster.fresh_database(postgres) as url:
        asyncio.run(make(url))
        yield url


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a row."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'greenroom.db'}"
    url: str = request.getfixturevalue("migrated")
    names = ", ".join(table.name for table in metadata.sorted_tables)
    cluster.execute(url, f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    return url


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'greenroom.db'}"
        return
    with cluster.fresh_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    """The folder of the test's files."""
    return tmp_path / "blobs"


@pytest.fixture
async def store(url: str, blobs: Path) -> AsyncIterator[Store]:
    opened = await Store.open(url, str(blobs))
    yield opened
    await opened.close()
