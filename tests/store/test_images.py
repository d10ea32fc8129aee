import asyncio
from pathlib import Path

import pytest

from server.domain.gallery import StoredImage
from server.domain.images import ImageFormat
from server.domain.jobs import Job
from server.store.store import Store
from tests.store.values import a_job, an_image, an_upload


async def a_kept_job(store: Store, owner: str = "ana") -> Job:
    job = a_job(owner=owner)
    await store.jobs.add(job, idempotency_key=None, request_hash="h")
    return job


async def kept(store: Store, job: Job, index: int, data: bytes, **changes: object) -> StoredImage:
    image, created = await store.keep_image(an_image(job, index, data, **changes), data)
    assert created
    return image


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and "." in p.name)


async def test_a_picture_comes_back_as_it_was(store: Store) -> None:
    job = await a_kept_job(store)
    image = await kept(store, job, 3, b"data", prompt='a\0 "fox" 狐', format=ImageFormat.WEBP)
    assert await store.images.get(image.id) == image
    assert await store.images.get(image.id, "ana") == image
    assert await store.images.get(image.id, "bob") is None
    assert await store.blobs.get(image.sha256, "webp") == b"data"


async def test_a_rerun_keeps_the_picture_that_is_stored(store: Store, blobs: Path) -> None:
    job = await a_kept_job(store)
    first = await kept(store, job, 0, b"first")
    again = await store.keep_image(an_image(job, 0, b"second"), b"second")
    assert again == (first, False)
    assert files(blobs) == [f"{first.sha256}.png"]
    assert [event.type for event in await store.events.after("ana", 0)] == ["queued", "picture"]


async def test_ten_reruns_at_once_keep_one_row_and_one_file(store: Store, blobs: Path) -> None:
    job = await a_kept_job(store)
    datas = [b"rerun %d" % (number % 3) for number in range(10)]
    answers = await asyncio.gather(*(store.keep_image(an_image(job, 0, d), d) for d in datas))
    assert sum(created for _, created in answers) == 1
    image = answers[0][0]
    assert all(answer == image for answer, _ in answers)
    assert await store.images.of_job(job.id) == [image]
    assert files(blobs) == [f"{image.sha256}.png"]


async def test_pictures_of_jobs_come_by_index(store: Store) -> None:
    one, two, none = [await a_kept_job(store) for _ in range(3)]
    second = await kept(store, one, 1, b"1")
    first = await kept(store, one, 0, b"0")
    other = await kept(store, two, 0, b"x")
    assert await store.images.of_job(one.id) == [first, second]
    assert await store.images.of_job(none.id) == []
    assert await store.images.of_jobs([two.id, one.id, none.id]) == {
        one.id: [first, second],
        two.id: [other],
    }
    assert await store.images.of_jobs([]) == {}


async def test_equal_pictures_share_a_file_until_the_last_is_deleted(
    store: Store, blobs: Path
) -> None:
    job = await a_kept_job(store)
    one, two = await kept(store, job, 0, b"same"), await kept(store, job, 1, b"same")
    assert files(blobs) == [f"{one.sha256}.png"]
    await store.blobs.put_thumbnail(one.sha256, 256, b"small")
    assert await store.images.delete(one.id, "ana") == one
    assert await store.blobs.get(two.sha256, "png") == b"same"
    assert await store.blobs.get_thumbnail(two.sha256, 256) == b"small"
    assert await store.images.delete(two.id, "ana") == two
    assert files(blobs) == []
    assert await store.blobs.get_thumbnail(two.sha256, 256) is None


async def test_an_upload_and_an_equal_picture_share_a_file(store: Store, blobs: Path) -> None:
    job = await a_kept_job(store)
    image = await kept(store, job, 0, b"same")
    upload = await store.keep_upload(an_upload(b"same"), b"same")
    await store.images.delete(image.id, "ana")
    assert await store.blobs.get(upload.sha256, "png") == b"same"
    assert await store.uploads.delete(upload.id, "ana") == upload
    assert files(blobs) == []


async def test_only_the_owner_deletes_and_only_once(store: Store, blobs: Path) -> None:
    job = await a_kept_job(store)
    image = await kept(store, job, 0, b"data")
    assert await store.images.delete(image.id, "bob") is None
    assert files(blobs) == [f"{image.sha256}.png"]
    gone = await asyncio.gather(*(store.images.delete(image.id, "ana") for _ in range(5)))
    assert [image for image in gone if image is not None] == [image]
    assert await store.images.get(image.id) is None


async def test_deleting_and_keeping_equal_pictures_at_once_loses_no_file(store: Store) -> None:
    job = await a_kept_job(store)
    old = await kept(store, job, 0, b"same")
    for _ in range(15):
        fresh = await a_kept_job(store)
        (new, _), _ = await asyncio.gather(
            store.keep_image(an_image(fresh, 0, b"same"), b"same"),
            store.images.delete(old.id, "ana"),
        )
        assert await store.blobs.get(new.sha256, "png") == b"same"
        old = new


async def test_a_thumbnail_that_comes_too_late_is_dropped(store: Store, blobs: Path) -> None:
    job = await a_kept_job(store)
    image = await kept(store, job, 0, b"data")
    await store.images.delete(image.id, "ana")
    await store.blobs.put_thumbnail(image.sha256, 256, b"late")
    assert files(blobs) == []


async def test_bytes_of_another_picture_are_refused_and_leave_nothing(
    store: Store, blobs: Path
) -> None:
    job = await a_kept_job(store)
    with pytest.raises(ValueError, match="SHA-256"):
        await store.keep_image(an_image(job, 0, b"said"), b"given")
    assert await store.images.of_job(job.id) == []


async def test_a_caller_who_gives_up_leaves_a_whole_picture_or_none(
    store: Store, blobs: Path
) -> None:
    for number in range(20):
        job = await a_kept_job(store)
        data = b"picture %d" % number
        task = asyncio.create_task(store.keep_image(an_image(job, 0, data), data))
        await asyncio.sleep(number / 4000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await store.check()
    await asyncio.sleep(0.2)
    page = await store.images.list("ana", cursor=None, limit=100)
    assert files(blobs) == sorted(f"{image.sha256}.png" for image in page.items)


async def test_a_list_is_the_owners_newest_first_and_by_model(store: Store) -> None:
    job, other = await a_kept_job(store), await a_kept_job(store, "bob")
    a = await kept(store, job, 0, b"0")
    b = await kept(store, job, 1, b"1", model="scribble-flux")
    await kept(store, other, 0, b"2")
    page = await store.images.list("ana", cursor=None, limit=1)
    assert (page.items, page.next_cursor) == ((b,), b.id)
    page = await store.images.list("ana", cursor=b.id, limit=1)
    assert (page.items, page.next_cursor) == ((a,), None)
    page = await store.images.list("ana", cursor=None, limit=9, model="scribble-flux")
    assert page.items == (b,)


async def test_uploads_are_listed_and_deleted_by_their_owner_only(store: Store) -> None:
    mine = [await store.keep_upload(an_upload(bytes([i])), bytes([i])) for i in range(3)]
    await store.keep_upload(an_upload(b"theirs", owner="bob"), b"theirs")
    page = await store.uploads.list("ana", cursor=None, limit=2)
    assert (page.items, page.next_cursor) == ((mine[2], mine[1]), mine[1].id)
    assert await store.uploads.get(mine[0].id, "bob") is None
    assert await store.uploads.delete(mine[0].id, "bob") is None
    assert await store.uploads.get(mine[0].id) == mine[0]


async def test_an_upload_is_found_by_its_file_among_its_owners_own(store: Store) -> None:
    first = await store.keep_upload(an_upload(b"same"), b"same")
    await store.keep_upload(an_upload(b"same"), b"same")
    theirs = await store.keep_upload(an_upload(b"same", owner="bob"), b"same")
    assert await store.uploads.by_hash(first.sha256, "ana") == first
    assert await store.uploads.by_hash(first.sha256, "bob") == theirs
    assert await store.uploads.by_hash(first.sha256, "eve") is None
