"""Every file has its row, every row its file, whenever the process is killed."""

import asyncio
import random
from pathlib import Path

import pytest

from server.store.store import Store
from tests.store.processes import victim


def files(folder: Path) -> set[str]:
    return {p.name for p in folder.rglob("*") if p.is_file() and "." in p.name}


async def opened_and_swept(url: str, blobs: Path) -> Store:
    store = await Store.open(url, str(blobs))
    assert store.sweeping is not None
    await store.sweeping
    return store


async def what_is_kept(store: Store) -> set[str]:
    pictures = await store.images.list("ana", cursor=None, limit=100_000)
    uploads = await store.uploads.list("ana", cursor=None, limit=100_000)
    for image in pictures.items:
        assert len(await store.blobs.get(image.sha256, "png")) == image.size_bytes
    hashes = [image.sha256 for image in pictures.items] + [row.sha256 for row in uploads.items]
    return {f"{sha256}.png" for sha256 in hashes}


@pytest.mark.parametrize(
    ("deed", "left_over"),
    [
        ("stop_after_staging", 0),
        ("stop_before_the_reference", 1),
        ("stop_before_the_file_goes", 2),  # and its thumbnail
    ],
)
async def test_a_kill_between_two_steps_leaves_nothing_after_the_next_start(
    url: str, blobs: Path, deed: str, left_over: int
) -> None:
    with victim(deed, url, str(blobs)):
        pass
    assert len(files(blobs)) == left_over
    store = await opened_and_swept(url, blobs)
    assert files(blobs) == set() == await what_is_kept(store)
    assert await store.blobs.sweep_rows() + await store.blobs.sweep_files() == 0
    await store.close()


async def test_a_kill_in_the_middle_of_a_file_leaves_nothing(url: str, blobs: Path) -> None:
    with victim("stop_while_writing", url, str(blobs)) as process:
        while not any("#" in name for name in files(blobs)):
            await asyncio.sleep(0.001)
            assert process.poll() is None
    assert any("#" in name for name in files(blobs))
    store = await opened_and_swept(url, blobs)
    assert files(blobs) == set() == await what_is_kept(store)
    await store.close()


@pytest.mark.slow
async def test_kills_at_random_moments_leave_every_row_its_file_and_every_file_its_row(
    url: str, blobs: Path
) -> None:
    chance = random.Random(7)  # noqa: S311
    for _ in range(8):
        with victim("storm", url, str(blobs)):
            await asyncio.sleep(chance.uniform(0.05, 0.8))
        store = await opened_and_swept(url, blobs)
        kept = await what_is_kept(store)
        assert {name for name in files(blobs) if not name.endswith(".256.webp")} == kept
        thumbnails = {name.replace(".256.webp", ".png") for name in files(blobs) - kept}
        assert thumbnails <= kept
        await store.close()
        assert kept
