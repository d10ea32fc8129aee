from server.domain.adapters import StoredAdapter
from server.domain.images import DrawnAdapter
from server.domain.jobs import JobState
from server.domain.models import Family
from server.store.store import Store
from tests.store.values import NOW, a_job


def an_adapter(name: str = "ink", sha256: str = "aa") -> StoredAdapter:
    return StoredAdapter(
        id=name,
        sha256=sha256,
        family=Family.SDXL,
        rank=16,
        layers=70,
        size_bytes=3 * 2**31,
        file_name="Ink \N{SNOWMAN}.safetensors",
        created_at=NOW,
    )


async def test_adapters_are_kept_by_name_and_listed(store: Store) -> None:
    ink, chalk = an_adapter(), an_adapter("chalk", "bb")
    assert [await store.adapters.add(one) for one in (ink, chalk)] == [None, None]
    assert await store.adapters.list() == [chalk, ink]
    assert await store.adapters.get("ink") == ink
    assert await store.adapters.get("oil") is None


async def test_a_name_or_file_that_is_taken_stays_with_who_has_it(store: Store) -> None:
    ink = an_adapter()
    await store.adapters.add(ink)
    assert await store.adapters.add(an_adapter("ink", "bb")) == ink
    assert await store.adapters.add(an_adapter("oil", "aa")) == ink
    assert await store.adapters.list() == [ink]
    # Both taken, by two: who has the file is told, since the file must stay.
    await store.adapters.add(an_adapter("a-first", "cc"))
    assert await store.adapters.add(an_adapter("a-first", "aa")) == ink


async def test_a_deleted_adapter_is_gone_and_its_name_is_free(store: Store) -> None:
    await store.adapters.add(an_adapter())
    assert [await store.adapters.delete("ink") for _ in range(2)] == [True, False]
    assert await store.adapters.add(an_adapter("ink", "cc")) is None


async def test_unfinished_jobs_need_their_adapters_and_ended_ones_do_not(store: Store) -> None:
    ink = an_adapter()
    job = a_job()
    drawn = DrawnAdapter(id="an-older-name", sha256=ink.sha256, weight=1.0)
    resolved = job.resolved.model_copy(update={"adapters": (drawn,)})
    await store.jobs.add(a_job(), idempotency_key=None, request_hash="x")
    assert await store.adapters.needed_by(ink) is None
    row, _ = await store.jobs.add(
        job.model_copy(update={"resolved": resolved}), idempotency_key=None, request_hash="y"
    )
    assert row.resolved.adapters == (drawn,)
    assert await store.adapters.needed_by(ink) == job.id
    await store.jobs.finish(job.id, JobState.CANCELLED, at=NOW)
    assert await store.adapters.needed_by(ink) is None
