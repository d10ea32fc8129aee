from __future__ import annotations

from server.engine.newest import NewestQueue


def taken(queue: NewestQueue[str]) -> list[str]:
    found = []
    while (message := queue.take()) is not None:
        found.append(message)
    return found


def test_messages_come_out_in_order() -> None:
    queue: NewestQueue[str] = NewestQueue()
    for message in ("a", "b", "c"):
        queue.put(message)
    assert taken(queue) == ["a", "b", "c"]
    assert queue.take() is None


def test_the_newest_of_a_key_takes_the_place_of_the_one_that_waits() -> None:
    queue: NewestQueue[str] = NewestQueue()
    queue.put("started")
    for step in range(1000):
        queue.put(f"step {step}", key="progress")
    queue.put("done")
    assert taken(queue) == ["started", "step 999", "done"]


def test_a_key_can_come_again_after_it_was_taken() -> None:
    queue: NewestQueue[str] = NewestQueue()
    queue.put("first", key="k")
    assert taken(queue) == ["first"]
    queue.put("second", key="k")
    assert taken(queue) == ["second"]


def test_what_is_dropped_never_comes() -> None:
    queue: NewestQueue[str] = NewestQueue()
    queue.put("old", key="k")
    queue.put("other")
    queue.drop("k")
    queue.drop("unknown")
    queue.put("new", key="k")
    assert taken(queue) == ["other", "new"]
