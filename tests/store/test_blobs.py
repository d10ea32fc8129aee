"""One suite for the folder and for S3, which moto's server speaks here over real HTTP."""

import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from server.domain.errors import NotFoundError, StorageUnavailableError
from server.store.blobs import BlobStore
from server.store.store import Store
from tests.requirements import require
from tests.store.processes import REPOSITORY
from tests.store.values import a_job, an_image, an_upload

HAS_MOTO = all(find_spec(name) for name in ("moto", "flask", "flask_cors"))
PLACES = ["folder", *(["s3"] if HAS_MOTO else [])]


def test_moto_is_here() -> None:
    require("moto's S3 server (pip install 'greenroom[dev]')", present=HAS_MOTO)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The environment that leads to an S3 server of our own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    server.stop()


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where blobs are kept: a folder, or an address with a prefix."""
    if request.param == "folder":
        return str(tmp_path / "blobs")
    import boto3  # type: ignore[import-untyped]

    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{secrets.token_hex(8)}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/some/prefix"


@pytest.fixture
async def files(place: str) -> AsyncIterator[BlobStore]:
    opened = await BlobStore.open(place)
    yield opened
    await opened.close()


async def paths(files: BlobStore) -> list[str]:
    return sorted([file.path async for piece in files.all() for file in piece])


async def test_a_file_is_known_by_its_content(files: BlobStore) -> None:
    data = os.urandom(300_000)
    sha256 = await files.put(data, "png")
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert await files.get(sha256, "png") == data
    assert await files.put(data, "png") == sha256
    assert await paths(files) == [f"{sha256[:2]}/{sha256}.png"]


async def test_a_missing_file_is_named_and_deleting_it_is_no_error(files: BlobStore) -> None:
    with pytest.raises(NotFoundError, match="gone"):
        await files.get("0" * 64, "png")
    await files.delete("0" * 64, "png")
    assert await files.get_thumbnail("0" * 64, 256) is None


async def test_thumbnails_go_with_their_picture(files: BlobStore) -> None:
    sha256 = await files.put(b"large", "webp")
    await files.put_thumbnail(sha256, 256, b"small")
    await files.put_thumbnail(sha256, 512, b"middle")
    assert await files.get_thumbnail(sha256, 256) == b"small"
    assert await files.get(sha256, "webp") == b"large"
    await files.delete(sha256, "webp")
    assert await paths(files) == []


@pytest.mark.parametrize("name", [("../../etc", "png"), ("0" * 64, "../x"), ("0" * 63, "png")])
async def test_nothing_but_a_hash_names_a_file(files: BlobStore, name: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="no name of a blob"):
        await files.get(*name)


async def test_the_whole_store_works_on_it(place: str, url: str) -> None:
    store = await Store.open(url, place)
    job = a_job()
    await store.jobs.add(job, idempotency_key=None, request_hash="h")
    image, _ = await store.keep_image(an_image(job, 0, b"data"), b"data")
    upload = await store.keep_upload(an_upload(b"source"), b"source")
    await store.check()
    await store.close()

    stranger = await BlobStore.open(place)
    await stranger.put(b"left over", "png")
    await stranger.put_thumbnail("0" * 64, 256, b"left over")
    store = await Store.open(url, place)
    assert store.sweeping is not None
    assert await store.sweeping == 2
    assert len(await paths(stranger)) == 2
    await stranger.close()
    assert await store.blobs.get(image.sha256, "png") == b"data"
    await store.images.delete(image.id, "ana")
    await store.uploads.delete(upload.id, "ana")
    assert await store.blobs.sweep_rows() + await store.blobs.sweep_files() == 0
    with pytest.raises(NotFoundError):
        await store.blobs.get(image.sha256, "png")
    await store.close()


async def test_files_of_another_database_are_refused_and_not_touched(
    place: str, tmp_path: Path
) -> None:
    first = await Store.open(f"sqlite:///{tmp_path / 'one.db'}", place)
    upload = await first.keep_upload(an_upload(b"precious"), b"precious")
    with pytest.raises(StorageUnavailableError, match="another database"):
        await Store.open(f"sqlite:///{tmp_path / 'two.db'}", place)
    assert await first.blobs.get(upload.sha256, "png") == b"precious"
    await first.close()


async def test_files_of_nobody_known_are_refused_and_not_touched(
    files: BlobStore, place: str, url: str
) -> None:
    sha256 = await files.put(b"precious", "png")
    with pytest.raises(StorageUnavailableError, match="another database"):
        await Store.open(url, place)
    assert await files.get(sha256, "png") == b"precious"


async def test_what_is_not_ours_in_the_folder_is_left_alone(tmp_path: Path, url: str) -> None:
    blobs = tmp_path / "blobs"
    (blobs / "lost+found").mkdir(parents=True)
    note = blobs / "lost+found" / "note.txt"
    note.write_text("mine")
    await (await Store.open(url, str(blobs))).close()
    await (await Store.open(url, str(blobs))).close()
    assert note.read_text() == "mine"


@pytest.mark.skipif(not HAS_MOTO, reason="see test_moto_is_here")
async def test_a_bucket_that_is_not_there_is_named(
    s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageUnavailableError, match="blob store"):
        await Store.open(f"sqlite:///{tmp_path / 'greenroom.db'}", "s3://no-such-bucket/x")


@pytest.mark.parametrize("address", ["ftp://host/x", "s4://bucket"])
async def test_an_unknown_kind_of_address_is_named(address: str, url: str) -> None:
    with pytest.raises(StorageUnavailableError, match="s3://bucket/prefix"):
        await Store.open(url, address)


@pytest.mark.slow
def test_a_process_that_just_used_files_ends_in_peace(tmp_path: Path) -> None:
    """obstore's own asyncio calls abort four in ten such processes; ours are in threads."""
    script = """
import asyncio, sys
from server.store.blobs import BlobStore
async def main():
    files = await BlobStore.open(sys.argv[1])
    await files.get(await files.put(b"x", "png"), "png")
    await files.close()
asyncio.run(main())
"""
    for _ in range(12):
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", script, str(tmp_path)], cwd=REPOSITORY, check=True
        )
