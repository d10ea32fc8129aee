"""A worker holds several units of a size, lets short ones in, and draws a suspect alone."""

from server.domain.images import Priority
from server.services.fairness import Unit, unit
from server.services.window import has_room

SDXL = 4.2e14


def make(flops: float, number: int = 0) -> Unit:
    return unit(f"{number:04}", 0, owner="ada", model="m", flops=flops, priority=Priority.NORMAL)


def nobody(_: Unit) -> bool:
    return False


def held_at_most(flops: float) -> int:
    held: list[Unit] = []
    while has_room(held, make(flops), nobody):
        held.append(make(flops))
    return len(held)


def test_large_pictures_come_in_pairs_and_small_ones_in_eights() -> None:
    assert held_at_most(SDXL) == 2
    assert held_at_most(SDXL / 4) == 4
    assert held_at_most(SDXL / 1000) == 8


def test_a_short_picture_joins_a_worker_that_is_full_of_long_ones() -> None:
    assert has_room([make(SDXL)] * 2, make(SDXL / 12), nobody)


def test_a_stream_of_short_pictures_does_not_keep_a_long_one_out() -> None:
    assert has_room([make(1e12)] * 8, make(SDXL), nobody)


def test_no_worker_is_given_without_end() -> None:
    sizes = [make(10.0**power) for power in range(8, 40, 1)]
    held: list[Unit] = []
    for one in sizes:
        if has_room(held, one, nobody):
            held.append(one)
    assert len(held) == 24


def test_a_unit_that_may_have_ended_a_worker_is_drawn_alone() -> None:
    suspect, other = make(1e9, number=1), make(1e9, number=2)

    def is_suspect(one: Unit) -> bool:
        return one.job_id == suspect.job_id

    assert has_room([], suspect, is_suspect)
    assert not has_room([other], suspect, is_suspect)
    assert not has_room([suspect], other, is_suspect)
