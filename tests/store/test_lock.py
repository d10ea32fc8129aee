import os
from pathlib import Path

import pytest

from server.domain.errors import AlreadyServingError, StorageUnavailableError
from server.store.lock import server_lock
from tests.store import cluster
from tests.store.processes import victim


def sqlite_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'greenroom.db'}"


async def test_the_second_server_is_told_who_the_first_is_until_that_is_killed(
    tmp_path: Path,
) -> None:
    url = sqlite_in(tmp_path)
    with victim("hold_the_lock", url, str(tmp_path)) as holder:
        said = f"process {holder.pid} already"
        with pytest.raises(AlreadyServingError, match=said):
            async with server_lock(tmp_path, url):
                pass
    async with server_lock(tmp_path, url):
        assert (tmp_path / "server.lock").read_text() == f"{os.getpid()}\n"


async def test_a_lock_is_free_again_after_its_block(url: str, tmp_path: Path) -> None:
    for _ in range(2):
        async with server_lock(tmp_path, url):
            with pytest.raises(AlreadyServingError, match=str(os.getpid())):
                async with server_lock(tmp_path, url):
                    pass


async def test_two_data_folders_cannot_share_one_database(url: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    async with server_lock(one, url):
        with pytest.raises(AlreadyServingError, match=str(os.getpid())):
            async with server_lock(two, url):
                pass
    async with server_lock(two, url):
        pass


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match="make it first"):
        async with server_lock(tmp_path / "none", sqlite_in(tmp_path)):
            pass


@pytest.mark.postgres
@pytest.mark.skipif(not cluster.is_available(), reason="see test_postgresql_is_here")
async def test_a_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match="does not answer"):
        async with server_lock(tmp_path, "postgresql://127.0.0.1:1/none"):
            pass
