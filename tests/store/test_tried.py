"""Records of jobs, and chains, on both databases."""

from __future__ import annotations

from server.domain.images import Fallback
from server.domain.routes import Forecast, Member, MemberKind, Outcome, Route, Tried
from server.store.store import Store
from tests.store.values import NOW, a_job


def a_line(number: int, **changes: object) -> Tried:
    values: dict[str, object] = {
        "number": number,
        "member": "atelier",
        "pictures": (0, 2, 3),
        "outcome": Outcome.BEGUN,
        "code": None,
        "detail": None,
        "may_have_billed": False,
        "at": NOW,
        "seconds": None,
        "forecast": None,
    }
    return Tried.model_validate(values | changes)


async def test_lines_come_back_as_they_were_and_a_new_one_of_a_number_replaces_it(
    store: Store,
) -> None:
    job, other = a_job(), a_job()
    for one in (job, other):
        await store.jobs.add(one, idempotency_key=None, request_hash="h")
    forecast = Forecast(left_seconds=1.5, own_seconds=9, next_member="b", next_seconds=None)
    late = a_line(1, outcome=Outcome.LATE, forecast=forecast, pictures=())
    await store.tried.keep(job.id, a_line(0), late)
    await store.tried.keep(other.id, a_line(0))
    done = a_line(
        0,
        outcome=Outcome.FAILED,
        code="provider-refused",
        detail="no\0thing like 'this'",
        may_have_billed=True,
        seconds=0.25,
    )
    await store.tried.keep(job.id, done)
    assert await store.tried.of_job(job.id) == [done, late]
    assert (await store.tried.of_jobs([job.id, other.id]))[other.id] == [a_line(0)]
    assert await store.tried.of_jobs([]) == {}


async def test_a_route_is_kept_with_its_job(store: Store) -> None:
    job = a_job()
    barred = Member(
        name="atelier",
        kind=MemberKind.REMOTE,
        is_free=False,
        resolved=None,
        flops=0.0,
        code="pictures-stay",
        detail="not there",
    )
    drawing = barred.model_copy(
        update={"name": "friend", "code": None, "detail": None, "resolved": job.resolved}
    )
    route = Route(fallback=Fallback.LOCAL, members=(barred, drawing))
    job = job.model_copy(update={"route": route})
    await store.jobs.add(job, idempotency_key=None, request_hash="h")
    kept = await store.jobs.get(job.id)
    assert kept is not None
    assert kept.route == route


async def test_a_chain_takes_the_place_of_the_one_before(store: Store) -> None:
    await store.chains.put("b", ["c", "d"])
    await store.chains.put("a", [])
    await store.chains.put("b", ["e"])
    assert await store.chains.all() == {"a": (), "b": ("e",)}
    assert await store.chains.delete("b")
    assert not await store.chains.delete("b")
    assert await store.chains.all() == {"a": ()}
