"""Budgets are never exceeded, holds are settled once, and the ledger adds up to the last unit."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from server.domain.budgets import EntryKind
from server.domain.errors import BudgetExceededError
from server.domain.images import Fallback
from server.domain.jobs import JobState
from server.domain.money import Money
from server.domain.routes import Member, MemberKind, Outcome, Route, Tried
from server.domain.tariff import Tariff
from server.store.store import Store
from tests.store.spending import (
    MONTH,
    a_key,
    drawn,
    keep,
    micros,
    quoted,
    recomputed,
    state_of,
    submit,
)
from tests.store.values import NOW, a_job

pytestmark = pytest.mark.usefixtures("store")


async def test_a_job_reserves_and_an_ended_one_pays_for_what_was_drawn(store: Store) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 400)
    assert await state_of(store, key) == (400, 0, 600)
    await keep(store, job, 0, cost=90)
    await keep(store, job, 1, cost=110)
    assert await state_of(store, key) == (400, 0, 600)
    ended = await store.jobs.finish(job.id, JobState.SUCCEEDED, at=NOW)
    assert await state_of(store, key) == (0, 200, 800)
    assert ended is not None
    assert ended.cost == micros(200)
    lines = {(line.kind, line.index): line.micros for line in await store.usage.entries(job.id)}
    assert lines == {
        (EntryKind.RESERVE, -1): 400,
        (EntryKind.CHARGE, 0): 90,
        (EntryKind.CHARGE, 1): 110,
        (EntryKind.RELEASE, -1): 200,
    }


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.FAILED])
async def test_a_job_that_drew_nothing_costs_nothing(store: Store, state: JobState) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 1000)
    await store.jobs.finish(job.id, state, at=NOW)
    assert await state_of(store, key) == (0, 0, 1000)


async def test_what_does_not_fit_is_refused_with_what_is_left_and_when_it_renews(
    store: Store,
) -> None:
    key = await a_key(store, 1_500_000)
    await submit(store, key, 1_000_000)
    with pytest.raises(BudgetExceededError) as refused:
        await submit(store, key, 500_001)
    assert refused.value.detail == (
        "the key's budget of 1.50 USD for 2026-03 has 0.50 USD left (1.00 USD reserved for "
        "unfinished jobs), and this would cost 0.500001 USD; it renews on 2026-04-01 at 00:00 "
        "UTC, or an administrator may raise it"
    )
    assert len((await store.jobs.list("ana", cursor=None, limit=10)).items) == 1
    assert len(await store.events.after("ana", 0)) == 1
    await submit(store, key, 500_000)
    assert await state_of(store, key) == (1_500_000, 0, 0)


async def test_a_hundred_submits_at_once_never_overspend_by_one_unit(
    store: Store, url: str
) -> None:
    key = await a_key(store, 997)
    others = [await Store.open(url) for _ in range(3)]  # other processes would come as these do
    stores = [store, *others]
    tries = [submit(stores[n % 4], key, 30) for n in range(100)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    for other in others:
        await other.close()
    accepted = [one for one in answers if not isinstance(one, BaseException)]
    assert {type(one) for one in answers if isinstance(one, BaseException)} == {BudgetExceededError}
    assert len(accepted) == 33
    assert await state_of(store, key) == (990, 0, 7)
    await submit(store, key, 7)
    assert await state_of(store, key) == (997, 0, 0)


async def test_a_job_ended_by_ten_at_once_is_settled_once(store: Store) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 400)
    await keep(store, job, 0, cost=150)
    ends = [JobState.SUCCEEDED, JobState.CANCELLED] * 5
    await asyncio.gather(*(store.jobs.finish(job.id, state, at=NOW) for state in ends))
    assert await state_of(store, key) == (0, 150, 850)
    assert await recomputed(store, key) == (0, 150)


async def test_what_a_job_costs_beyond_its_hold_is_paid_out_of_what_is_left(store: Store) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 400)
    await keep(store, job, 0, cost=450)
    await store.jobs.finish(job.id, JobState.SUCCEEDED, at=NOW)
    assert await state_of(store, key) == (0, 450, 550)


async def test_a_budget_is_not_exceeded_even_when_pictures_cost_more_than_was_thought(
    store: Store,
) -> None:
    key = await a_key(store, 1000)
    job, other = await submit(store, key, 400), await submit(store, key, 580)
    await keep(store, job, 0, cost=450)
    await store.jobs.finish(job.id, JobState.SUCCEEDED, at=NOW)
    assert await state_of(store, key) == (580, 420, 0)
    lines = {line.kind: line.micros for line in await store.usage.entries(job.id)}
    assert (lines[EntryKind.EXTRA], lines[EntryKind.WAIVE]) == (20, 30)
    await store.jobs.finish(other.id, JobState.CANCELLED, at=NOW)
    assert await state_of(store, key) == (0, 420, 580)


async def test_a_picture_that_comes_after_its_job_was_cancelled_is_paid_too(store: Store) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 400)
    await store.jobs.finish(job.id, JobState.CANCELLED, at=NOW)
    await keep(store, job, 2, cost=300)
    assert await state_of(store, key) == (0, 300, 700)
    assert await recomputed(store, key) == (0, 300)


async def test_a_picture_drawn_anew_after_it_was_deleted_is_not_paid_twice(store: Store) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 400)
    first = await keep(store, job, 0, cost=100)
    await store.images.delete(first.id, "ana")
    await keep(store, job, 0, cost=100)
    await store.jobs.finish(job.id, JobState.SUCCEEDED, at=NOW)
    assert await state_of(store, key) == (0, 100, 900)


async def test_a_picture_whose_cost_nobody_says_takes_its_share_of_the_hold(store: Store) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 403)  # of four pictures
    await keep(store, job, 0, cost=None, seconds=0.0)
    ended = await store.jobs.finish(job.id, JobState.FAILED, at=NOW)
    assert await state_of(store, key) == (0, 100, 900)
    assert ended is not None
    assert ended.cost is None  # what is assumed is not known


async def test_a_picture_drawn_here_without_a_price_takes_nothing(store: Store) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 400)  # what another member of its chain would have asked
    await keep(store, job, 0, cost=None)
    await store.jobs.finish(job.id, JobState.SUCCEEDED, at=NOW)
    assert await state_of(store, key) == (0, 0, 1000)


async def test_an_unmeasured_cost_reserves_all_that_is_left(store: Store) -> None:
    key = await a_key(store, 1000)
    await submit(store, key, 100)
    tariff = Tariff(device_hour=Money(micros=3600))
    job = await submit(store, key, tariff.quote_local(None, 4))
    assert await state_of(store, key) == (1000, 0, 0)
    for quote in (tariff.quote_local(None, 1), quoted(1)):
        with pytest.raises(BudgetExceededError, match="reserved for unfinished jobs"):
            await submit(store, key, quote)
    await keep(store, job, 0, cost=3)
    await store.jobs.finish(job.id, JobState.SUCCEEDED, at=NOW)
    assert await state_of(store, key) == (100, 3, 897)


async def test_a_key_with_a_budget_draws_nothing_whose_price_is_not_known(store: Store) -> None:
    key = await a_key(store, 1000)
    tariff = Tariff()
    for cost in (None, Money(micros=1, currency="EUR")):
        with pytest.raises(BudgetExceededError, match="has a price in USD"):
            await submit(store, key, tariff.quote_remote("far-away", cost))
    assert await state_of(store, key) == (0, 0, 1000)


async def test_what_has_no_price_here_needs_no_budget(store: Store) -> None:
    key = await a_key(store, 0)
    job = await submit(store, key, Tariff().quote_local(5.0, 1))
    assert job.hold is None
    with pytest.raises(BudgetExceededError):
        await submit(store, key, 1)


async def test_a_budget_in_a_currency_of_the_past_pays_nothing(store: Store) -> None:
    key = await a_key(store, 1000)
    tariff = Tariff(currency="EUR", device_hour=Money(micros=3600, currency="EUR"))
    with pytest.raises(BudgetExceededError, match="counts in EUR"):
        await submit(store, key, tariff.quote_local(2.0, 1))


async def test_a_key_without_a_budget_reserves_nothing_and_is_counted(store: Store) -> None:
    key = await a_key(store, None)
    job = await submit(store, key, 400)
    assert job.hold is None
    await keep(store, job, 0, cost=90)
    assert [line.kind for line in await store.usage.entries(job.id)] == [EntryKind.CHARGE]


async def test_months_have_budgets_of_their_own_and_a_job_pays_in_the_one_it_came_in(
    store: Store,
) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 1000, created_at=datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC))
    with pytest.raises(BudgetExceededError):
        await submit(store, key, 1)
    april = datetime(2026, 4, 1, tzinfo=UTC)
    await submit(store, key, 300, created_at=april)
    await keep(store, job, 0, cost=700)
    await store.jobs.finish(job.id, JobState.SUCCEEDED, at=april + timedelta(hours=1))
    assert await state_of(store, key) == (0, 700, 300)
    assert await state_of(store, key, month="2026-04") == (300, 0, 700)


async def test_a_budget_that_is_lowered_or_taken_away_keeps_what_is_spent(store: Store) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 600)
    await keep(store, job, 0, cost=700)
    await store.keys.set_budget(key, micros(500))
    assert await state_of(store, key) == (600, 0, 0)
    await store.jobs.finish(job.id, JobState.SUCCEEDED, at=NOW)
    assert await state_of(store, key) == (0, 600, 0)
    await store.keys.set_budget(key, None)
    assert await store.usage.budgets(MONTH, [key]) == []
    await store.keys.set_budget(key, micros(1000))
    assert await state_of(store, key) == (0, 600, 400)


async def test_a_resent_request_reserves_once(store: Store) -> None:
    key = await a_key(store, 1000)
    for _ in range(3):
        job = a_job(key_id=key)
        row, _ = await store.jobs.add(
            job, idempotency_key="once", request_hash="h", quote=quoted(400)
        )
        assert row.hold is not None
    assert await state_of(store, key) == (400, 0, 600)


async def test_costs_of_two_currencies_are_not_added(store: Store) -> None:
    job = await submit(store, await a_key(store, None), 1)
    await keep(store, job, 0, cost=90)
    await keep(store, job, 1, cost=Money(micros=90, currency="EUR"))
    ended = await store.jobs.finish(job.id, JobState.SUCCEEDED, at=NOW)
    assert ended is not None
    assert ended.cost is None
    rows = await store.usage.rows(drawn(job), drawn(job))
    assert [(row.currency, row.micros, row.pictures) for row in rows] == [
        ("EUR", 90, 1),
        ("USD", 90, 1),
    ]


def asked(member: str, outcome: Outcome, *pictures: int, billed: bool = False) -> Tried:
    return Tried(
        number=0,
        member=member,
        pictures=pictures,
        outcome=outcome,
        code=None,
        detail=None,
        may_have_billed=billed,
        at=NOW,
        seconds=None,
        forecast=None,
    )


def route(*, is_free: bool) -> Route:
    painter = Member(
        name="painter",
        kind=MemberKind.REMOTE,
        is_free=is_free,
        resolved=None,
        flops=0.0,
        code=None,
        detail=None,
    )
    return Route(fallback=Fallback.ANY, members=(painter,))


@pytest.mark.parametrize(("outcome", "billed"), [(Outcome.BEGUN, False), (Outcome.FAILED, True)])
async def test_cancelling_in_time_does_not_make_a_service_draw_for_nothing(
    store: Store,
    outcome: Outcome,
    billed: bool,  # noqa: FBT001 - as the table says it
) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 400, route=route(is_free=False))
    await store.tried.keep(job.id, asked("painter", outcome, 0, 1, billed=billed))
    await keep(store, job, 0, cost=90, seconds=0)
    await store.jobs.finish(job.id, JobState.CANCELLED, at=NOW)
    assert await state_of(store, key) == (0, 90 + 100, 810)
    lines = {(line.kind, line.index): line for line in await store.usage.entries(job.id)}
    lost = lines[EntryKind.LOST, 1]
    assert (lost.micros, lost.served_by, lost.image_id) == (100, "painter", None)
    (row,) = await store.usage.rows("2000-01-01", "2100-01-01", key_id=key)
    assert (row.pictures, row.micros) == (1, 190)
    # The picture was on its way after all: it was paid for already.
    await keep(store, job, 1, cost=100, seconds=0)
    assert await state_of(store, key) == (0, 190, 810)
    assert await recomputed(store, key) == (0, 190)


@pytest.mark.parametrize(
    ("is_free", "outcome"),
    [(True, Outcome.BEGUN), (False, Outcome.FAILED), (False, Outcome.SKIPPED)],
)
async def test_what_nobody_can_have_billed_goes_back(
    store: Store,
    is_free: bool,  # noqa: FBT001 - as the table says it
    outcome: Outcome,
) -> None:
    key = await a_key(store, 1000)
    job = await submit(store, key, 400, route=route(is_free=is_free))
    await store.tried.keep(job.id, asked("painter", outcome, 0, 1, 2, 3))
    await store.jobs.finish(job.id, JobState.FAILED, at=NOW)
    assert await state_of(store, key) == (0, 0, 1000)
