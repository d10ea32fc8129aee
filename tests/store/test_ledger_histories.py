"""Whatever happens in whatever order, and whoever is killed: the ledger says what budgets say."""

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain.budgets import settle
from server.domain.errors import BudgetExceededError
from server.domain.jobs import Job, JobState
from server.store.store import Store
from tests.store.processes import victim
from tests.store.spending import a_key, keep, micros, recomputed, state_of, submit
from tests.store.values import NOW

ENDS = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
LIMIT = 1000
deeds = st.one_of(
    st.tuples(st.just("submit"), st.integers(0, 600)),
    st.tuples(st.just("keep"), st.integers(0, 3), st.one_of(st.none(), st.integers(0, 500))),
    st.tuples(st.just("end"), st.sampled_from(ENDS)),
    st.tuples(st.just("limit"), st.integers(0, 2 * LIMIT)),
)


@given(history=st.lists(deeds, max_size=25), chance=st.randoms(use_true_random=False))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_any_history_adds_up(
    store: Store, history: list[tuple[object, ...]], chance: random.Random
) -> None:
    key = await a_key(store, LIMIT)
    jobs: list[Job] = []
    limit = highest = LIMIT
    for deed, *words in history:
        if deed == "submit":
            _, _, left = await state_of(store, key)
            quote = int(str(words[0]))
            if quote > left:
                with pytest.raises(BudgetExceededError):
                    await submit(store, key, quote)
            else:
                jobs.append(await submit(store, key, quote))
        elif deed == "limit":
            limit = int(str(words[0]))
            highest = max(highest, limit)
            await store.keys.set_budget(key, micros(limit))
        elif jobs and deed == "keep":
            cost = None if words[1] is None else int(str(words[1]))
            seconds = chance.choice([0.0, 0.125])
            await keep(store, chance.choice(jobs), int(str(words[0])), cost=cost, seconds=seconds)
        elif jobs and deed == "end":
            await store.jobs.finish(chance.choice(jobs).id, JobState(str(words[0])), at=NOW)
        reserved, spent, left = await state_of(store, key)
        assert (reserved, spent) == await recomputed(store, key)
        assert left == max(0, limit - reserved - spent)
        assert reserved + spent <= highest


@given(
    held=st.integers(0, 10**9), cost=st.integers(0, 10**9), room=st.none() | st.integers(0, 10**9)
)
def test_a_hold_is_settled_to_the_unit(held: int, cost: int, room: int | None) -> None:
    done = settle(held, cost, room)
    assert done.charged == held + done.extra - done.released
    assert held + done.extra + done.waived == cost + done.released
    assert room is None or done.charged <= held + room
    assert done.waived == 0 or done.extra == room
    assert not (done.released and done.extra)


async def test_kills_at_random_moments_lose_no_unit_and_count_none_twice(
    url: str, blobs: Path
) -> None:
    chance = random.Random(11)  # noqa: S311
    store = await Store.open(url, str(blobs))
    key = await a_key(store, 100_000)
    await store.close()
    for _ in range(4):
        with victim("spend", url, str(blobs), key):
            await asyncio.sleep(chance.uniform(0.2, 0.9))
        store = await Store.open(url, str(blobs))
        reserved, spent, _ = await state_of(store, key)
        assert (reserved, spent) == await recomputed(store, key)
        await store.close()
    store = await Store.open(url, str(blobs))
    unfinished = await store.jobs.by_state(JobState.QUEUED, JobState.RUNNING)
    held = sum(job.hold.amount.micros for job in unfinished if job.hold is not None)
    assert unfinished
    assert (await state_of(store, key))[0] == held  # unfinished jobs keep what they reserved
    for job in unfinished:
        await store.jobs.finish(job.id, JobState.FAILED, at=NOW)
    reserved, spent, left = await state_of(store, key)
    assert (reserved, spent) == await recomputed(store, key)
    assert (reserved, spent + left) == (0, 100_000)
    assert spent > 0
    await store.close()
