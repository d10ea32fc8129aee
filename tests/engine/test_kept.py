"""A model in memory serves pictures of several profiles, each drawn as it allows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from server.domain.models import EngineModel
from server.domain.plans import Plan, Profile
from server.engine.kept import Kept
from server.engine.loading import load
from server.engine.messages import DrawPicture
from server.engine.worth import Worth
from tests.engine.ticking import Ticking


@pytest.fixture
def ticking(models: dict[str, EngineModel]) -> Iterator[Ticking]:
    loop = Ticking(models)
    yield loop
    loop.close()


def test_a_fast_picture_before_it_does_not_make_an_exact_one_fast(ticking: Ticking) -> None:
    ticking.draw(1, model="tiny-flux", profile="fast", num_inference_steps=2)
    fast = ticking.until_done(1)[1]
    ticking.draw(2, model="tiny-flux", num_inference_steps=2)
    exact = ticking.until_done(2)[2]
    assert isinstance(fast, DrawPicture)
    assert isinstance(exact, DrawPicture)
    assert (fast.recipe.profile, fast.recipe.plan) == ("fast", "fast, block cache")
    assert (exact.recipe.profile, exact.recipe.plan) == ("exact", "exact")


def test_only_pictures_that_allow_it_are_decoded_in_tiles(models: dict[str, EngineModel]) -> None:
    plan = Plan(profile=Profile.MEMORY, encoders="streamed", offload="group", decode="tiled")
    model = models["tiny"]
    kept = Kept(model, load(model, torch.device("cpu")), plan, Worth(0, 0, 0))
    assert kept.plan_for(Profile.MEMORY) == plan
    for profile in (Profile.EXACT, Profile.FAST):
        assert kept.plan_for(profile).name == "exact, encoders streamed, network streamed"
