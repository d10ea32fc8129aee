"""What the worker does beside drawing, and what it means for who waits for pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from server.domain.models import EngineModel
from server.engine.loading import load
from server.engine.memory import DeviceMemory
from server.engine.messages import DrawPicture, Lend, Preload, Residents, TakeBack, Unload
from tests.engine.ticking import Ticking

GIB = 2**30
SHORT: dict[str, Any] = {"num_inference_steps": 3}
LONG: dict[str, Any] = {"num_inference_steps": 60}


@pytest.fixture
def ticking(models: dict[str, EngineModel]) -> Iterator[Ticking]:
    loop = Ticking(models)
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def size(models: dict[str, EngineModel]) -> int:
    return load(models["tiny"], torch.device("cpu")).weights.size_bytes


def answered(ticking: Ticking, chore: int) -> str | None:
    """Tick until a chore is answered; return the error's words, None if there is none."""
    for _ in range(1000):
        done = ticking.done(chore)
        if done is not None:
            return done.detail
        if ticking.is_busy or ticking.has_chores:
            ticking.tick()
        else:  # the answer is on its way
            threading.Event().wait(0.002)
    raise TimeoutError(f"chore {chore}")


def last(ticking: Ticking) -> Residents:
    return [said for said in ticking.said if isinstance(said, Residents)][-1]


def heard(ticking: Ticking, holds: Callable[[Residents], bool]) -> None:
    """Wait until the last word on memory is what it should be."""
    for _ in range(1000):
        if any(isinstance(said, Residents) for said in ticking.said) and holds(last(ticking)):
            return
        threading.Event().wait(0.002)
    raise TimeoutError(str(last(ticking)))


def test_a_model_that_was_loaded_ahead_is_there_for_the_first_picture(
    ticking: Ticking, models: dict[str, EngineModel]
) -> None:
    ticking.chore(Preload(chore=1, model=models["tiny"]))
    assert answered(ticking, 1) is None
    assert last(ticking).models == ("tiny",)
    loadings = [said.loading for said in ticking.said if isinstance(said, Residents)]
    ticking.draw(2, **SHORT)
    ticking.until_done(2)
    assert loadings.count("tiny") == 1
    assert [said.loading for said in ticking.said if isinstance(said, Residents)] == loadings


def test_a_model_that_cannot_be_loaded_ahead_is_told_by_name(
    ticking: Ticking, models: dict[str, EngineModel]
) -> None:
    ticking.chore(Preload(chore=1, model=models["broken"]))
    said = answered(ticking, 1)
    assert said is not None
    assert "broken" in said


def test_loading_ahead_stops_no_picture_under_way(
    ticking: Ticking, models: dict[str, EngineModel]
) -> None:
    ticking.draw(1, **LONG)
    ticking.tick(2)
    ticking.chore(Preload(chore=2, model=models["another"]))
    ticking.tick(3)
    assert (ticking.steps(1), ticking.done(2)) == (5, None)
    ticking.until_done(1)
    assert answered(ticking, 2) is None
    assert set(last(ticking).models) == {"tiny", "another"}


def test_a_model_is_given_up_when_its_last_picture_is_done(ticking: Ticking) -> None:
    ticking.draw(1, **LONG)
    ticking.tick(2)
    ticking.chore(Unload(chore=2, model="tiny"))
    ticking.tick(2)
    assert ticking.done(2) is None
    assert isinstance(ticking.until_done(1)[1], DrawPicture)
    assert answered(ticking, 2) is None
    assert last(ticking).models == ()


def test_memory_is_lent_only_when_it_is_free(ticking: Ticking, size: int) -> None:
    ticking.limits(device_bytes=2 * size)
    ticking.draw(1, **LONG)
    ticking.tick(2)
    ticking.chore(Lend(chore=2, size_bytes=size * 3 // 2))
    ticking.tick(3)
    assert ticking.done(2) is None  # a picture is drawn with what would have to go
    assert ticking.steps(1) == 5
    ticking.draw(3, **SHORT)
    ticking.tick(2)
    assert ticking.steps(3) == 0  # nobody new begins meanwhile
    assert isinstance(ticking.until_done(1)[1], DrawPicture)
    assert answered(ticking, 2) is None
    assert last(ticking).models == ()
    assert last(ticking).lent_bytes == size * 3 // 2


def test_what_is_more_than_the_device_has_is_never_lent(ticking: Ticking, size: int) -> None:
    ticking.limits(device_bytes=size)
    ticking.chore(Lend(chore=1, size_bytes=GIB))
    said = answered(ticking, 1)
    assert said is not None
    assert said.startswith("1.0 GiB cannot be lent")


def test_pictures_that_do_not_fit_beside_what_is_lent_wait_and_are_told_so(
    ticking: Ticking, size: int
) -> None:
    ticking.limits(device_bytes=2 * size)
    ticking.chore(Lend(chore=1, size_bytes=size * 3 // 2))
    assert answered(ticking, 1) is None
    ticking.draw(2, **SHORT)
    ticking.tick()
    assert ticking.rows == []
    heard(ticking, lambda said: said.held == ("tiny",))
    assert not ticking.is_busy  # it does not spin meanwhile
    ticking.chore(TakeBack(chore=1))
    assert isinstance(ticking.until_done(2)[2], DrawPicture)
    heard(ticking, lambda said: said.held == () and said.lent_bytes == 0)


def test_pictures_that_fit_beside_what_is_lent_are_drawn(ticking: Ticking, size: int) -> None:
    ticking.limits(device_bytes=4 * size)
    ticking.draw(1, **SHORT)
    ticking.until_done(1)
    ticking.chore(Lend(chore=2, size_bytes=2 * size))
    assert answered(ticking, 2) is None
    assert last(ticking).models == ("tiny",)  # it need not even leave
    ticking.draw(3, **SHORT)
    assert isinstance(ticking.until_done(3)[3], DrawPicture)


def test_who_asked_for_memory_and_went_before_it_was_lent_holds_up_nobody(
    ticking: Ticking, size: int
) -> None:
    ticking.limits(device_bytes=2 * size)
    ticking.draw(1, **LONG)
    ticking.tick(2)
    ticking.chore(Lend(chore=2, size_bytes=size * 3 // 2))
    ticking.tick()
    ticking.chore(TakeBack(chore=2))
    ticking.draw(3, **SHORT)
    ticking.tick(2)
    assert ticking.steps(3) == 2
    assert isinstance(ticking.until_done(1, 3)[1], DrawPicture)
    assert ticking.done(2) is None
    heard(ticking, lambda said: said.lent_bytes == 0)


def test_who_waits_for_another_training_puts_no_model_out(
    ticking: Ticking, models: dict[str, EngineModel], size: int
) -> None:
    ticking.limits(device_bytes=6 * size)
    ticking.chore(Lend(chore=1, size_bytes=3 * size))
    assert answered(ticking, 1) is None
    ticking.chore(Preload(chore=2, model=models["tiny"]))
    assert answered(ticking, 2) is None
    ticking.chore(Lend(chore=3, size_bytes=4 * size))
    ticking.tick(2)
    assert ticking.done(3) is None
    assert ticking.residents.holds(models["tiny"])
    ticking.chore(TakeBack(chore=1))
    assert answered(ticking, 3) is None


def test_what_models_cannot_give_back_is_refused_when_nobody_draws(
    ticking: Ticking, models: dict[str, EngineModel], size: int
) -> None:
    ticking.limits(device_bytes=4 * size)
    ticking.chore(Preload(chore=1, model=models["tiny"]))
    assert answered(ticking, 1) is None
    counted = ticking.residents.held_bytes
    # Libraries keep some of a card for themselves: it is held, and no model can give it back.
    ticking.residents.memory = DeviceMemory(
        torch.device("cpu"), lambda: counted() + size // 2, budget_bytes=4 * size
    )
    ticking.chore(Lend(chore=2, size_bytes=4 * size - size // 4))
    said = answered(ticking, 2)
    assert said is not None
    assert "cannot be lent" in said
    ticking.draw(3, **SHORT)
    assert isinstance(ticking.until_done(3)[3], DrawPicture)


def test_a_model_that_left_for_a_loan_to_come_is_not_told_as_there(
    ticking: Ticking, models: dict[str, EngineModel], size: int
) -> None:
    ticking.limits(device_bytes=3 * size)
    ticking.chore(Preload(chore=1, model=models["another"]))
    assert answered(ticking, 1) is None
    ticking.draw(2, **LONG)
    ticking.tick(2)
    ticking.chore(Lend(chore=3, size_bytes=5 * size // 2))
    ticking.tick()
    assert ticking.done(3) is None
    heard(ticking, lambda said: said.models == ("tiny",))


def test_free_memory_is_told_before_any_model_is_loaded(ticking: Ticking) -> None:
    ticking.limits(device_bytes=GIB)
    ticking.tick()
    heard(ticking, lambda said: said.free_bytes == GIB)


def test_a_cancelled_picture_holds_no_model_back(ticking: Ticking, size: int) -> None:
    ticking.limits(device_bytes=2 * size)
    ticking.chore(Lend(chore=1, size_bytes=size * 3 // 2))
    assert answered(ticking, 1) is None
    ticking.draw(2, **SHORT)
    ticking.tick()
    heard(ticking, lambda said: said.held == ("tiny",))
    ticking.cancel(2)
    assert ticking.is_busy  # it wakes up for that
    ticking.tick()
    heard(ticking, lambda said: said.held == ())
