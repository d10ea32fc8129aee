"""Who is next for a picture is decided by a route and its record alone."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.images import Fallback
from server.domain.routes import (
    Member,
    MemberKind,
    Outcome,
    Route,
    Tried,
    alone,
    next_member,
    runs,
)
from tests.store.values import NOW

_GONE = (Outcome.FAILED, Outcome.SKIPPED)


def member(name: str, *, is_free: bool = False, code: str | None = None) -> Member:
    return Member(
        name=name,
        kind=MemberKind.REMOTE,
        is_free=is_free,
        resolved=None,
        flops=0.0,
        code=code,
        detail=code,
    )


def route(*members: Member) -> Route:
    return Route(fallback=Fallback.ANY, members=members)


numbers = itertools.count()


def line(name: str, outcome: Outcome, *pictures: int, billed: bool = False) -> Tried:
    return Tried(
        number=next(numbers),
        member=name,
        pictures=pictures or (0,),
        outcome=outcome,
        code=None,
        detail=None,
        may_have_billed=billed,
        at=NOW,
        seconds=None,
        forecast=None,
    )


ABC = route(member("a"), member("b"), member("c", is_free=True))


def name_of(found: Member | None) -> str | None:
    return None if found is None else found.name


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        ([], "a"),
        ([line("a", Outcome.BEGUN)], "a"),
        ([line("a", Outcome.INTERRUPTED)], "a"),
        ([line("a", Outcome.FAILED)], "b"),
        ([line("a", Outcome.SKIPPED)], "b"),
        ([line("a", Outcome.FAILED, billed=True)], "c"),
        ([line("a", Outcome.LATE)], "b"),
        ([line("a", Outcome.LATE), line("b", Outcome.FAILED), line("c", Outcome.FAILED)], "a"),
        ([line("a", Outcome.FAILED, 1, 2)], "a"),  # other pictures
        ([line(name, Outcome.FAILED) for name in "abc"], None),
    ],
)
def test_the_next_one_is_the_first_who_is_left(tried: list[Tried], expected: str | None) -> None:
    assert name_of(next_member(ABC, tried, 0)) == expected


def test_whoever_is_barred_is_never_asked() -> None:
    barred = route(member("a", code="request-refused"), member("b"))
    assert name_of(next_member(barred, [], 0)) == "b"
    assert next_member(barred, [line("b", Outcome.FAILED)], 0) is None


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(list(Outcome)), st.booleans()),
        max_size=12,
    )
)
def test_nobody_is_asked_again_who_failed_and_nobody_who_costs_after_a_bill(
    said: list[tuple[str, Outcome, bool]],
) -> None:
    tried = [line(name, outcome, billed=billed) for name, outcome, billed in said]
    found = next_member(ABC, tried, 0)
    gone = {one.member for one in tried if one.outcome in _GONE}
    if found is None:
        left = [m for m in ABC.members if m.name not in gone]
        assert not left or (any(one.may_have_billed for one in tried) and "c" in gone)
        return
    assert found.name not in gone
    assert found.is_free or not any(one.may_have_billed for one in tried)


@given(st.sets(st.integers(0, 9)))
def test_runs_are_unbroken_and_lose_nothing(pictures: set[int]) -> None:
    found = runs(sorted(pictures))
    assert [picture for run in found for picture in run] == sorted(pictures)
    assert all(run == tuple(range(run[0], run[0] + len(run))) for run in found)
    assert all(one[-1] + 1 < other[0] for one, other in itertools.pairwise(found))


def test_a_job_of_before_has_its_model_and_nobody_else() -> None:
    assert alone("scribble-xl", 1.0).is_plain
    assert name_of(next_member(alone("scribble-xl", 1.0), [], 3)) == "scribble-xl"
