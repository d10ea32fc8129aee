"""A new picture joins at once; a new model waits for its moment, but not for ever."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from server.domain.models import Family
from server.engine.admission import MODEL_PATIENCE_SECONDS, admissible
from server.engine.drawing import Waiting
from server.engine.messages import Draw
from tests.engine.drawing import request
from tests.engine.workers import engine_model


def waiting(model_id: str, arrived_at: float = 0.0) -> Waiting:
    model = engine_model(model_id, Path("anywhere"), Family.SDXL)
    message = Draw(draw=1, model=model, request=request(), preview_interval_seconds=1)
    return Waiting(message, 0, arrived_at, Future())


def begun(
    line: list[Waiting], *, now: float = 1.0, is_busy: bool = True, held: str = "here"
) -> list[str]:
    def holds(one: Waiting) -> bool:
        return one.message.model.id == held

    return [one.message.model.id for one in admissible(line, holds=holds, is_busy=is_busy, now=now)]


def test_pictures_of_a_model_in_memory_join_while_others_are_drawn() -> None:
    assert begun([waiting("here"), waiting("here")]) == ["here", "here"]


def test_another_model_waits_until_nothing_is_under_way_and_lets_others_pass() -> None:
    assert begun([waiting("other"), waiting("here")]) == ["here"]
    assert begun([waiting("other"), waiting("here")], is_busy=False) == ["here"]
    assert begun([waiting("other")], is_busy=False) == ["other"]
    assert begun([waiting("other")]) == []


def test_all_pictures_of_the_model_to_be_loaded_begin_together() -> None:
    line = [waiting("other"), waiting("third"), waiting("other")]
    assert begun(line, is_busy=False) == ["other", "other"]


def test_after_its_patience_nobody_passes_the_other_model() -> None:
    line = [waiting("here", 5.0), waiting("other", 0.0)]
    assert begun(line, now=MODEL_PATIENCE_SECONDS) == []
    assert begun(line, now=MODEL_PATIENCE_SECONDS, is_busy=False) == ["other"]
    assert begun([waiting("here", 5.0)], now=MODEL_PATIENCE_SECONDS) == ["here"]
