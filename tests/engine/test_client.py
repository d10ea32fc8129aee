"""What the client knows without any process."""

from __future__ import annotations

import pytest

from server.domain.errors import ModelNotFoundError
from server.domain.models import EngineModel, Family, ModelInfo, Task
from server.domain.rates import Rates
from server.domain.work import flops
from server.engine.client import EngineWorker
from tests.engine.drawing import request

INFO = ModelInfo(
    id="tiny",
    name="Tiny",
    family=Family.SDXL,
    task=Task.TEXT,
    provider="local",
    description="",
    specialties=(),
    licence="",
    gated=False,
    demonstration=True,
    needs_vram_gib=None,
    parameters=(),
    sizes=(),
    size_multiple=8,
    max_pixels=2**20,
    styles=(),
)


async def load_source(image_id: str) -> bytes:
    return image_id.encode()


def no_model(model_id: str) -> EngineModel:
    raise ModelNotFoundError(model_id)


def worker_of(rates: Rates) -> EngineWorker:
    return EngineWorker(
        "local",
        "cpu",
        infos=lambda: (INFO, INFO.model_copy(update={"id": "flux", "family": Family.FLUX})),
        engine_model=no_model,
        rates=rates,
        load_source=load_source,
    )


@pytest.mark.parametrize(
    ("values", "parameter"),
    [
        ({}, None),
        ({"scheduler": "dpmpp_2m_karras"}, None),
        ({"scheduler": "default"}, None),
        ({"scheduler": "flow_match_euler"}, "scheduler"),
        ({"model": "flux", "scheduler": "flow_match_euler"}, None),
        ({"model": "flux", "scheduler": "euler"}, "scheduler"),
        ({"model": "other"}, "model"),
        ({"strength": 0.5}, "strength"),
    ],
)
async def test_what_it_cannot_do_is_refused_by_name(
    values: dict[str, object], parameter: str | None
) -> None:
    refusal = worker_of(Rates()).refusal(request(**values))
    assert (refusal and refusal.parameter) == parameter


async def test_seconds_are_known_once_a_picture_was_measured() -> None:
    rates = Rates()
    asked = request()
    work = flops(Family.SDXL, asked)
    assert (await worker_of(rates).estimate(asked)).seconds is None
    rates.learn("tiny", work, 2.0)
    estimate = await worker_of(rates).estimate(request(num_images=2))
    assert estimate.seconds == pytest.approx(4.0)
    assert estimate.flops == pytest.approx(2 * work)
