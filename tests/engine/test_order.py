"""Short work goes first, nobody waits for ever, and only one bucket shares a forward."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.engine.order import PATIENCE, Place, in_turn


def test_the_shortest_remaining_work_is_first() -> None:
    places = [Place("a", 0.0, 5.0), Place("a", 0.1, 0.4), Place("a", 0.2, 5.0)]
    assert in_turn(places) == [1, 0, 2]


def test_equal_pictures_keep_their_order_and_the_one_under_way_stays_first() -> None:
    assert in_turn([Place("a", 0.0, 5.0), Place("a", 0.0, 5.0)]) == [0, 1]
    assert in_turn([Place("a", 0.0, 5.0), Place("a", 0.0, 4.9)]) == [1, 0]


def test_only_the_bucket_of_the_most_urgent_shares_the_forward() -> None:
    places = [Place("wide", 0.0, 1.0), Place("square", 0.0, 0.5), Place("square", 0.0, 9.0)]
    assert in_turn(places) == [1, 2]


@given(st.floats(0.01, 60), st.floats(0.01, 60))
def test_work_that_was_never_kept_waiting_lets_shorter_work_pass_to_its_end(
    done: float, left: float
) -> None:
    """What was being drawn all the time has not waited, however long ago it came."""
    under_way = Place("a", 0.0, left, done)
    assert in_turn([under_way, Place("b", done, left / 2)]) == [1]
    assert in_turn([under_way, Place("b", done, left * 2)]) == [0]


@given(st.floats(0.1, 20), st.floats(0.01, 1), st.floats(0.01, 0.5))
def test_a_stream_of_short_pictures_never_holds_a_long_one_up_for_ever(
    long: float, short: float, every: float
) -> None:
    """The long one goes before all that arrive later than its patience lasts."""
    arrived = 0.0
    while in_turn([Place("a", 0.0, long), Place("b", arrived, short)]) == [1]:
        arrived += every
    assert arrived <= PATIENCE * long + every
