import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from server.domain.ids import ID_PATTERN, IdMaker


def clock_of(times: list[float]) -> Callable[[], float]:
    pending = iter(times)
    return lambda: next(pending)


@given(st.lists(st.floats(0, 4e9), min_size=2, max_size=50))
def test_ids_grow_whatever_the_clock_does(times: list[float]) -> None:
    new_id = IdMaker(clock_of(times))
    made = [new_id() for _ in times]
    assert made == sorted(set(made))
    assert all(re.match(ID_PATTERN, one) for one in made)


def test_ids_grow_across_a_restart_with_the_clock_set_back() -> None:
    before = IdMaker(lambda: 2_000_000_000.0)()
    assert IdMaker(lambda: 1_000_000_000.0, last=before)() > before
