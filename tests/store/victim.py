"""A process that uses a store and is killed, or whose disk is full: `python -m` with a deed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

from server.domain.errors import AppError, BudgetExceededError
from server.domain.jobs import JobState
from server.store.blobs import BlobStore
from server.store.database import Transaction
from server.store.lock import server_lock
from server.store.master_keys import MasterKeys
from server.store.store import Store
from tests.store.spending import keep, submit
from tests.store.values import NOW, a_job, an_image, an_upload

DATA = b"the victim's picture"


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def until_killed(word: str) -> None:
    say(word)
    await asyncio.sleep(3600)


async def stop_after_staging(url: str, blobs: str) -> None:
    store = await Store.open(url, blobs)
    image = an_image(a_job(), 0, DATA)
    await store.blobs.stage(image.sha256, "png", len(DATA))
    await until_killed("staged")


async def stop_while_writing(url: str, blobs: str) -> None:
    store = await Store.open(url, blobs)
    job = a_job()
    await store.jobs.add(job, idempotency_key=None, request_hash="h")
    data = bytes(1 << 29)
    image = an_image(job, 0, data)
    say("writing")
    await store.keep_image(image, data)
    await until_killed("too late")


async def stop_before_the_reference(url: str, blobs: str) -> None:
    store = await Store.open(url, blobs)
    image = an_image(a_job(), 0, DATA)
    await store.blobs.stage(image.sha256, "png", len(DATA))
    files = await BlobStore.open(blobs)
    await files.put(DATA, "png")
    await until_killed("put")


async def stop_before_the_file_goes(url: str, blobs: str) -> None:
    store = await Store.open(url, blobs)
    job = a_job()
    await store.jobs.add(job, idempotency_key=None, request_hash="h")
    image, _ = await store.keep_image(an_image(job, 0, DATA), DATA)
    await store.blobs.put_thumbnail(image.sha256, 256, b"small")
    rows = await Store.open(url)  # without files: it deletes the row alone
    await rows.images.delete(image.id, "ana")
    await until_killed("row deleted")


async def storm(url: str, blobs: str) -> None:
    """Keep and delete as fast as possible, until the end."""
    store = await Store.open(url, blobs)
    say("started")
    chance = random.Random(os.getpid())  # noqa: S311

    async def one() -> None:
        while True:
            job = a_job()
            await store.jobs.add(job, idempotency_key=None, request_hash="h")
            data = chance.randbytes(chance.choice([1, 1, 50_000, 1_000_000]))
            image, _ = await store.keep_image(an_image(job, 0, data), data)
            await store.blobs.put_thumbnail(image.sha256, 256, b"small")
            upload = await store.keep_upload(an_upload(data), data)
            if chance.random() < 0.5:
                await store.images.delete(image.id, "ana")
            if chance.random() < 0.5:
                await store.uploads.delete(upload.id, "ana")

    await asyncio.gather(*(one() for _ in range(6)))


async def spend(url: str, blobs: str, key: str) -> None:
    """Submit, draw and end jobs on one key's budget as fast as possible, until the end."""
    store = await Store.open(url, blobs)
    say("started")
    chance = random.Random(os.getpid())  # noqa: S311
    ends = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

    async def one() -> None:
        while True:
            try:
                job = await submit(store, key, chance.randrange(1, 400))
            except BudgetExceededError:
                await asyncio.sleep(0.01)
                continue
            for index in range(chance.randrange(5)):
                await keep(
                    store, job, index % 4, cost=chance.choice([None, 7, 90, 150]), seconds=0.0
                )
            if chance.random() < 0.9:  # the others stay unfinished
                await store.jobs.finish(job.id, chance.choice(ends), at=NOW)

    await asyncio.gather(*(one() for _ in range(6)))


async def named(deed: Awaitable[object]) -> str:
    try:
        await deed
    except AppError as error:
        return f"{error.code}: {error}"
    return "done"


async def open_and_say(url: str, blobs: str) -> None:
    say(json.dumps([await named(Store.open(url, blobs))]))


async def fill_the_disk(url: str, blobs: str) -> None:
    """Do the same with room, without, and with room again."""
    store = await Store.open(url, blobs)
    filler = Path(blobs).parent / "filler"
    said: list[list[str]] = []
    for is_full in (False, True, False):
        if is_full:
            fill(filler)
        else:
            filler.unlink(missing_ok=True)
        job = a_job()
        data = os.urandom(20_000)
        added = await named(store.jobs.add(job, idempotency_key=None, request_hash="h"))
        if added != "done":  # the disk is full: the picture is of an older job
            job = (await store.jobs.list("ana", cursor=None, limit=1)).items[0]
        image = an_image(job, len(said), data)
        said.append([added, await named(store.keep_image(image, data)), await named(store.check())])
    pictures = await store.images.list("ana", cursor=None, limit=10)
    assert sorted(files_in(Path(blobs))) == sorted(
        f"{image.sha256}.png" for image in pictures.items
    )
    await store.close()
    say(json.dumps(said))


def files_in(folder: Path) -> list[str]:
    return [f.name for f in folder.rglob("*") if f.is_file() and "." in f.name]


def fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as out:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    out.write(b"\0" * size)
            except OSError:
                pass


async def stop_the_rotation(url: str, folder: str, stage: str) -> None:
    """Go through the steps of a change of the master key as far as `stage`."""
    keys = MasterKeys(Path(folder))
    store = await Store.open(url, master_keys=keys)
    with keys.changing():
        fresh = keys.next(None)
        if stage == "new key kept":
            await until_killed(stage)

        def work(transaction: Transaction) -> None:
            store.sealing.reseal(transaction, fresh, forget=False)
            if stage == "rows written":
                say(stage)
                time.sleep(3600)

        await store.sealing._database.write(work)  # noqa: SLF001 - to stop inside its transaction
        if stage == "committed":
            await until_killed(stage)
        keys.keep_only(fresh.id)
        await until_killed("old key dropped")


async def rotate_for_ever(url: str, folder: str) -> None:
    store = await Store.open(url, master_keys=MasterKeys(Path(folder)))
    say("started")
    while True:
        await store.sealing.rotate()


async def hold_the_lock(url: str, data_dir: str) -> None:
    async with server_lock(Path(data_dir), url):
        await until_killed("held")


def hold_the_database(url: str, seconds: str) -> None:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    say("held")
    time.sleep(float(seconds))
    connection.close()


if __name__ == "__main__":
    deed = globals()[sys.argv[1]](*sys.argv[2:])
    if deed is not None:
        asyncio.run(deed)
