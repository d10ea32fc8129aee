import asyncio
import random

import pytest

from server.domain.jobs import JobState
from server.domain.streams import StateEvent
from server.store.store import Store
from tests.store.values import NOW, a_job, an_image


async def test_a_life_of_a_job_is_told_in_order_and_can_be_read_again(store: Store) -> None:
    heard: list[StateEvent] = []
    store.on_event = heard.append
    job = a_job()
    await store.jobs.add(job, idempotency_key=None, request_hash="h")
    await store.jobs.start(job.id, epoch="e", at=NOW)
    await store.jobs.requeue(job.id, died=True)
    await store.jobs.start(job.id, epoch="e", at=NOW)
    image = an_image(job, 0, b"picture")
    await store.keep_image(image, b"picture")
    await store.jobs.finish(job.id, JobState.SUCCEEDED, at=NOW)
    said = ["queued", "running", "requeued", "running", "picture", "succeeded"]
    assert [event.type for event in heard] == said
    assert [event.image_id for event in heard] == [None] * 4 + [image.id, None]
    assert await store.events.after("ana", 0) == heard
    assert await store.events.after("ana", heard[3].id) == heard[4:]
    assert await store.events.after("ana", 0, limit=2) == heard[:2]
    assert await store.events.latest_id() == heard[-1].id


async def test_events_are_only_their_owners_and_can_be_one_jobs(store: Store) -> None:
    assert await store.events.latest_id() == 0
    mine, other, theirs = a_job(), a_job(), a_job(owner="bob")
    for job in (mine, other, theirs):
        await store.jobs.add(job, idempotency_key=None, request_hash="h")
    assert [e.job_id for e in await store.events.after("ana", 0)] == [mine.id, other.id]
    assert [e.job_id for e in await store.events.after("ana", 0, job_id=other.id)] == [other.id]
    assert await store.events.after("ana", 0, job_id=theirs.id) == []


async def test_nothing_is_told_of_what_did_not_happen(store: Store) -> None:
    heard: list[StateEvent] = []
    store.on_event = heard.append
    job = a_job()
    await store.jobs.add(job, idempotency_key="k", request_hash="h")
    await store.jobs.add(a_job(), idempotency_key="k", request_hash="h")
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        await store.jobs.add(job, idempotency_key="other", request_hash="h")
    await store.jobs.requeue(job.id, died=True)
    assert [event.type for event in heard] == ["queued"]
    assert await store.events.after("ana", 0) == heard


async def test_events_are_told_in_the_order_of_their_numbers_under_load(store: Store) -> None:
    """Also when callers give up in the middle: a change that happened is always told."""
    heard: list[int] = []
    store.on_event = lambda event: heard.append(event.id)
    chance = random.Random(1)  # noqa: S311

    async def live(job_id: str) -> None:
        await store.jobs.start(job_id, epoch="e", at=NOW)
        await asyncio.sleep(chance.uniform(0, 0.01))
        await store.jobs.finish(job_id, JobState.SUCCEEDED, at=NOW)

    jobs = [a_job() for _ in range(40)]
    for job in jobs:
        await store.jobs.add(job, idempotency_key=None, request_hash="h")
    tasks = [asyncio.create_task(live(job.id)) for job in jobs]
    for task in tasks:
        await asyncio.sleep(chance.uniform(0, 0.004))
        if chance.random() < 0.5:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.jobs.requeue_others("never")  # waits for its turn behind all others
    written = [event.id for event in await store.events.after("ana", 0)]
    assert heard == sorted(heard) == written


async def test_reading_never_waits_for_a_writer(store: Store) -> None:
    job = a_job()
    await store.jobs.add(job, idempotency_key=None, request_hash="h")
    writes = [
        asyncio.create_task(store.jobs.add(a_job(), idempotency_key=None, request_hash="h"))
        for _ in range(50)
    ]
    await asyncio.sleep(0)
    assert await store.jobs.get(job.id) == job
    assert not all(task.done() for task in writes)
    await asyncio.gather(*writes)


async def test_readers_who_give_up_harm_nobody(store: Store) -> None:
    job = a_job()
    await store.jobs.add(job, idempotency_key=None, request_hash="h")
    chance = random.Random(2)  # noqa: S311
    for _ in range(30):
        reads = [asyncio.create_task(store.jobs.get(job.id)) for _ in range(8)]
        await asyncio.sleep(chance.uniform(0, 0.003))
        for read in reads[::2]:
            read.cancel()
        answers = await asyncio.gather(*reads, return_exceptions=True)
        assert all(answer == job for answer in answers[1::2])
    assert await store.jobs.get(job.id) == job
