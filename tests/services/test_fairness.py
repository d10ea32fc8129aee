from hypothesis import given
from hypothesis import strategies as st

from server.domain.images import Priority
from server.services.fairness import FairQueue, Unit, unit


def make(owner: str, number: int, flops: float = 1.0, priority: Priority = Priority.NORMAL) -> Unit:
    return unit(f"{owner}-{number:04}", 0, owner=owner, model="m", flops=flops, priority=priority)


def drain(queue: FairQueue) -> list[Unit]:
    out = []
    while (taken := queue.pop()) is not None:
        out.append(taken)
    return out


def test_one_owner_is_served_first_come_first_served() -> None:
    queue = FairQueue()
    for number in (2, 0, 1):
        queue.push(make("ada", number))
    assert [u.job_id for u in drain(queue)] == ["ada-0000", "ada-0001", "ada-0002"]


def test_a_newcomer_does_not_wait_behind_a_long_queue_of_another() -> None:
    queue = FairQueue()
    for number in range(100):
        queue.push(make("ada", number))
    queue.push(make("bob", 0))
    assert [u.owner for u in drain(queue)][:3].count("bob") == 1


def test_small_pictures_are_not_stuck_behind_large_ones() -> None:
    queue = FairQueue()
    for number in range(5):
        queue.push(make("ada", number, flops=100))
    for number in range(5):
        queue.push(make("bob", number, flops=1))
    owners = [u.owner for u in drain(queue)]
    assert owners.index("ada") <= 6
    assert max(i for i, o in enumerate(owners) if o == "bob") <= 6


def test_priority_orders_an_owners_own_work_and_nobody_elses() -> None:
    queue = FairQueue()
    queue.push(make("ada", 0, priority=Priority.LOW))
    queue.push(make("ada", 1, priority=Priority.HIGH))
    queue.push(make("bob", 0))
    order = drain(queue)
    mine = [u.job_id for u in order if u.owner == "ada"]
    assert mine == ["ada-0001", "ada-0000"]
    assert [u.owner for u in order].index("bob") <= 1


def test_discarding_a_job_takes_out_all_its_units() -> None:
    queue = FairQueue()
    queue.push(make("ada", 0))
    queue.push(make("ada", 1))
    assert [u.job_id for u in queue.discard("ada-0000")] == ["ada-0000"]
    assert [u.job_id for u in drain(queue)] == ["ada-0001"]


units = st.lists(
    st.builds(
        make,
        st.sampled_from("abcd"),
        st.integers(0, 9999),
        st.floats(0.5, 50),
        st.sampled_from(list(Priority)),
    ),
    max_size=60,
    unique_by=lambda u: u.job_id,
)


@given(units)
def test_the_order_told_is_the_order_given(waiting: list[Unit]) -> None:
    queue = FairQueue()
    for one in waiting:
        queue.push(one)
    told = list(queue.order())
    assert told == drain(queue)
    assert sorted(told) == sorted(waiting)


@given(units)
def test_while_two_owners_have_work_neither_gets_two_quanta_more(waiting: list[Unit]) -> None:
    queue = FairQueue()
    left: dict[str, int] = {}
    for one in waiting:
        queue.push(one)
        left[one.owner] = left.get(one.owner, 0) + 1
    owners = list(left)
    served = dict.fromkeys(owners, 0.0)
    largest = max((u.flops for u in waiting), default=0.0)
    for taken in drain(queue):
        served[taken.owner] += taken.flops
        left[taken.owner] -= 1
        if all(left.values()):
            assert max(served.values()) - min(served.values()) <= 3 * largest


def test_a_unit_that_fits_passes_one_that_does_not_and_is_charged_for_it() -> None:
    queue = FairQueue()
    queue.push(make("ada", 0, flops=100))
    queue.push(make("bob", 0, flops=1))
    queue.push(make("bob", 1, flops=1))
    queue.push(make("bob", 2, flops=100))
    small = queue.pop(lambda u: u.flops < 10)
    assert small is not None
    assert small.job_id == "bob-0000"
    assert queue.pop(lambda u: u.flops > 1000) is None
    assert len(queue) == 3
    rest = [u.job_id for u in drain(queue)]
    assert sorted(rest) == ["ada-0000", "bob-0001", "bob-0002"]
    assert rest.index("ada-0000") < rest.index("bob-0002")
