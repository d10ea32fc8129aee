"""How many pictures share a forward follows from what was measured, and never costs anyone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.models import EngineModel, Family
from server.domain.row_times import RowTime
from server.engine.curve import MOST_ROWS, Curves, RowCurve
from tests.engine.workers import engine_model

MEASURED = {1: 21.0, 2: 30.0, 4: 40.0, 8: 76.0, 16: 123.0}  # a small network on one CPU thread


def settled(curve: RowCurve, rows: Sequence[int], seconds: Callable[[int], float]) -> list[int]:
    """Draw with `curve` until it explores no more; return the sizes that it tried, in order."""
    tried: list[int] = []
    while True:
        size = sum(rows[: curve.pictures(rows)])
        if tried.count(size) >= 3:
            return tried
        tried.append(size)
        curve.learn(size, seconds(size))


def test_without_company_a_picture_is_drawn_alone() -> None:
    assert RowCurve().pictures([2]) == 1


def test_sizes_are_measured_in_turn_so_that_other_load_falls_on_all_of_them() -> None:
    tried = settled(RowCurve(), [1, 1, 1], lambda rows: 1.0)
    assert tried[:9] == [1, 2, 1, 2, 1, 2, 3, 3, 3]


def test_rows_that_cost_nothing_are_all_taken() -> None:
    curve = RowCurve(dict.fromkeys(range(1, 9), 1.0))
    assert curve.pictures([1] * 8) == 8


def test_where_rows_only_add_up_pictures_are_drawn_one_after_the_other() -> None:
    curve = RowCurve()
    tried = settled(curve, [1] * 8, float)
    assert curve.pictures([1] * 8) == 1
    assert set(tried) == {1, 2}  # two were no gain, so three are not tried


def test_the_last_picture_is_ready_soonest_as_long_as_the_average_one_is_not_later() -> None:
    curve = RowCurve(MEASURED | {3: 36.0, 5: 50.0, 6: 58.0, 7: 67.0})
    assert curve.pictures([1] * 8) == 8  # 76 for all, where one by one takes 168, 95 on average
    assert curve.pictures([1] * 3) == 3
    assert curve.pictures([2] * 2) == 2


def test_a_gain_that_makes_the_average_picture_later_is_left() -> None:
    curve = RowCurve({1: 10.0, 2: 17.0, 3: 26.0, 4: 34.5})
    assert curve.pictures([1] * 2) == 1  # 17 for both, against 10 and 20
    assert curve.pictures([1] * 8) == 2  # two at a time: 42.5 on average, against 45


def test_no_forward_has_more_rows_than_the_most() -> None:
    curve = RowCurve(dict.fromkeys(range(1, 40), 1.0))
    assert curve.pictures([2] * 20) == MOST_ROWS // 2
    assert RowCurve().pictures([MOST_ROWS + 1, 1]) == 1


def test_after_memory_ran_out_smaller_forwards_are_taken_for_a_while() -> None:
    clock = [0.0]
    curve = RowCurve(dict.fromkeys(range(1, 9), 1.0), now=lambda: clock[0])
    curve.ran_out(8)
    assert curve.pictures([1] * 8) == 4
    curve.ran_out(4)
    assert curve.pictures([1] * 8) == 2
    clock[0] = 1000
    assert curve.pictures([1] * 8) == 8


def test_a_spoilt_measurement_does_not_stay_for_ever() -> None:
    times = {1: 10.0, 2: 11.0, 3: 12.0, 4: 13.0}
    curve = RowCurve({1: 10.0, 2: 90.0, 3: 12.0, 4: 90.0})  # measured beside something else
    taken = []
    for _ in range(2000):
        count = curve.pictures([1] * 4)
        taken.append(count)
        curve.learn(count, times[count])
    assert taken[-1] == 4
    assert sum(count != 4 for count in taken[-640:]) <= 12


def test_a_settled_time_is_told_again_only_when_it_changes() -> None:
    curve = RowCurve({1: 1.0})
    assert [curve.learn(1, 1.05) for _ in range(6)] == [None] * 6
    assert [curve.learn(1, 2.0) for _ in range(6)] == [None, None, 2.0, None, None, None]


@given(
    st.lists(st.integers(1, 2), min_size=1, max_size=8),
    st.lists(st.floats(0.01, 10), min_size=MOST_ROWS, max_size=MOST_ROWS),
)
def test_equal_pictures_are_done_no_later_in_company(rows: list[int], growth: list[float]) -> None:
    rows = [rows[0]] * len(rows)
    times = {size: sum(growth[:size]) for size in range(1, MOST_ROWS + 1)}
    taken = RowCurve(times).pictures(rows)
    alone, together = times[rows[0]], times[rows[0] * taken]
    groups = -(-len(rows) // taken)
    done = [together * (1 + index // taken) for index in range(len(rows))]
    assert sum(done) <= (1 + 1e-9) * sum(alone * (1 + index) for index in range(len(rows)))
    assert together * groups <= alone * len(rows) * (1 + 1e-9)


@given(st.lists(st.floats(0.01, 10), min_size=MOST_ROWS, max_size=MOST_ROWS))
def test_exploring_ends(times: list[float]) -> None:
    tried = settled(RowCurve(), [1] * MOST_ROWS, lambda rows: times[rows - 1])
    assert len(tried) <= 3 * MOST_ROWS + 3


@pytest.fixture
def model() -> EngineModel:
    return engine_model("tiny", Path("anywhere"), Family.SDXL)


def test_what_is_settled_is_told_once_and_is_known_to_the_next_process(model: EngineModel) -> None:
    told: list[RowTime] = []
    curves = Curves("a card", tuple, told.append)
    for seconds in (3.0, 1.0, 2.0, 9.0):
        curves.learn(model, "64x64", 2, seconds)
    assert [(point.rows, point.seconds, point.hardware) for point in told] == [(2, 1.0, "a card")]
    after = Curves("a card", lambda: told, told.append)
    assert after.of(model, "64x64").seconds(2) == 1.0
    assert after.of(model, "128x128").seconds(2) is None
    other_weights = model.model_copy(update={"fingerprint": "tiny-2"})
    assert after.of(other_weights, "64x64").seconds(2) is None
