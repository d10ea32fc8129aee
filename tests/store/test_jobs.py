import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain.errors import ConflictError
from server.domain.images import ImageRequest
from server.domain.jobs import Job, JobError, JobState
from server.store.store import Store
from tests.store.values import NOW, a_job, new_id

ERROR = JobError(code="out-of-memory", title="Out of memory", detail="1 GiB was missing")


async def added(store: Store, job: Job | None = None) -> Job:
    row, created = await store.jobs.add(job or a_job(), idempotency_key=None, request_hash="h")
    assert created
    return row


async def test_a_job_comes_back_as_it_was(store: Store) -> None:
    job = a_job(
        owner="Åsa O'Neil",
        request=ImageRequest(prompt='a "fox" in\n東京', negative_prompt="\\", strength=0.5),
        deadline_at=NOW + timedelta(seconds=30),
        error=ERROR,
    )
    await added(store, job)
    assert await store.jobs.get(job.id) == job
    assert await store.jobs.get(job.id, "Åsa O'Neil") == job


async def test_a_job_of_another_owner_is_as_if_it_were_not_there(store: Store) -> None:
    job = await added(store)
    assert await store.jobs.get(job.id, "bob") is None
    assert (await store.jobs.list("bob", cursor=None, limit=5)).items == ()


@pytest.mark.parametrize("text", ["", "\0", "\ud800", "' OR 1=1 --", "x" * 10_000])
async def test_an_id_that_no_job_can_have_finds_nothing(store: Store, text: str) -> None:
    await added(store)
    assert await store.jobs.get(text) is None
    assert await store.jobs.get(text, text) is None
    page = await store.jobs.list(text, cursor=text, limit=5)
    assert page.items == ()


async def test_times_are_utc_whatever_zone_they_came_in(store: Store) -> None:
    zone = timezone(timedelta(hours=-7))
    job = await added(store, a_job(created_at=NOW.astimezone(zone)))
    found = await store.jobs.get(job.id)
    assert found is not None
    assert found.created_at == NOW
    assert found.created_at.tzinfo is UTC


async def test_a_time_without_zone_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match="needs a zone"):
        await added(store, a_job(created_at=datetime(2026, 1, 1)))  # noqa: DTZ001


async def test_twenty_adds_of_one_key_at_once_make_one_job(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.jobs.add(a_job(), idempotency_key="once", request_hash="h") for _ in range(20))
    )
    assert len({job.id for job, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1
    assert len((await store.jobs.list("ana", cursor=None, limit=100)).items) == 1
    assert len(await store.events.after("ana", 0)) == 1


async def test_one_key_for_two_requests_is_a_conflict(store: Store) -> None:
    await store.jobs.add(a_job(), idempotency_key="once", request_hash="one")
    with pytest.raises(ConflictError, match="'once'"):
        await store.jobs.add(a_job(), idempotency_key="once", request_hash="two")


async def test_two_owners_may_choose_the_same_key(store: Store) -> None:
    for owner in ("ana", "bob"):
        job = a_job(owner=owner)
        assert (await store.jobs.add(job, idempotency_key="k", request_hash="h"))[1]


async def test_a_job_added_under_a_key_is_found_again_as_it_is_now(store: Store) -> None:
    job, _ = await store.jobs.add(a_job(), idempotency_key="k", request_hash="h")
    await store.jobs.finish(job.id, JobState.CANCELLED, at=NOW)
    again, created = await store.jobs.add(a_job(), idempotency_key="k", request_hash="h")
    assert (again.id, again.state, created) == (job.id, JobState.CANCELLED, False)


async def test_of_ten_rivals_one_starts_a_job(store: Store) -> None:
    job = await added(store)
    started = await asyncio.gather(
        *(store.jobs.start(job.id, epoch=f"e{i}", at=NOW) for i in range(10))
    )
    (winner,) = [row for row in started if row is not None]
    assert winner == job.model_copy(
        update={"state": JobState.RUNNING, "started_at": NOW, "attempt": 1}
    )
    assert await store.jobs.get(job.id) == winner


async def test_a_job_ends_once_whoever_comes_second(store: Store) -> None:
    job = await added(store)
    await store.jobs.start(job.id, epoch="e", at=NOW)
    ends = [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED] * 4
    rows = await asyncio.gather(
        *(store.jobs.finish(job.id, state, at=NOW, error=ERROR) for state in ends)
    )
    (winner,) = [row for row in rows if row is not None]
    assert (winner.finished_at, winner.error) == (NOW, ERROR)
    assert await store.jobs.start(job.id, epoch="e", at=NOW) is None
    assert await store.jobs.requeue(job.id, died=True) is None
    assert await store.jobs.get(job.id) == winner
    last = (await store.events.after("ana", 0))[-1]
    assert (last.type, last.error) == (winner.state.value, ERROR)


async def test_a_requeued_job_counts_its_deaths_and_attempts(store: Store) -> None:
    job = await added(store)
    for attempt, (died, deaths) in enumerate([(True, 1), (False, 1), (True, 2)], start=1):
        await store.jobs.start(job.id, epoch="e", at=NOW)
        row = await store.jobs.requeue(job.id, died=died)
        assert row is not None
        assert (row.state, row.started_at) == (JobState.QUEUED, None)
        assert (row.deaths, row.attempt) == (deaths, attempt)


async def test_at_start_only_what_other_epochs_ran_goes_back(store: Store) -> None:
    mine, theirs, waiting, done = [await added(store) for _ in range(4)]
    await store.jobs.start(mine.id, epoch="new", at=NOW)
    await store.jobs.start(theirs.id, epoch="old", at=NOW)
    await store.jobs.finish(done.id, JobState.SUCCEEDED, at=NOW)
    back = await store.jobs.requeue_others("new")
    assert [(job.id, job.deaths, job.attempt) for job in back] == [(theirs.id, 0, 1)]
    queued = await store.jobs.by_state(JobState.QUEUED)
    assert [job.id for job in queued] == [theirs.id, waiting.id]
    both = await store.jobs.by_state(JobState.QUEUED, JobState.RUNNING)
    assert [job.id for job in both] == [mine.id, theirs.id, waiting.id]
    assert await store.jobs.requeue_others("new") == []


async def test_lists_order_by_id_while_the_clock_jumps(store: Store) -> None:
    made = [
        await added(store, a_job(created_at=NOW + timedelta(days=days)))
        for days in (0, 400, -3, 0, -9000, 12)
    ]
    page = await store.jobs.list("ana", cursor=None, limit=10)
    assert [job.id for job in page.items] == [job.id for job in reversed(made)]
    assert [event.job_id for event in await store.events.after("ana", 0)] == [j.id for j in made]


async def test_a_list_may_hold_only_some_states(store: Store) -> None:
    jobs = [await added(store) for _ in range(4)]
    await store.jobs.finish(jobs[1].id, JobState.CANCELLED, at=NOW)
    await store.jobs.finish(jobs[2].id, JobState.FAILED, at=NOW, error=ERROR)
    states = (JobState.CANCELLED, JobState.FAILED)
    page = await store.jobs.list("ana", cursor=None, limit=10, states=states)
    assert [job.id for job in page.items] == [jobs[2].id, jobs[1].id]


@given(limit=st.integers(1, 9))
@settings(
    max_examples=9, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_pages_of_any_length_hold_every_job_once(store: Store, limit: int) -> None:
    owner = new_id()
    made = [(await added(store, a_job(owner=owner))).id for _ in range(8)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.jobs.list(owner, cursor=cursor, limit=limit)
        seen += [job.id for job in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == limit
    assert seen == made[::-1]


async def test_the_greatest_id_is_over_all_tables(store: Store) -> None:
    assert await store.greatest_id() is None
    await added(store)
    last = await added(store)
    assert await store.greatest_id() == last.id
