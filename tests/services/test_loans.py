"""What jobs are told while a training holds the memory that their model needs."""

from __future__ import annotations

from pathlib import Path

from server.domain.lending import Loan
from tests.services.chain_house import ANA, MODEL, open_house
from tests.services.members import Painter

GIB = 2**30


def loan(seconds_left: float | None) -> Loan:
    return Loan(
        name="mira", device="cpu", size_bytes=12 * GIB, is_lent=True, seconds_left=seconds_left
    )


async def test_a_job_says_what_it_waits_for_and_how_long_and_is_drawn_when_that_ends(
    tmp_path: Path, scribble_models: Path
) -> None:
    async with open_house(tmp_path / "data", scribble_models) as house:
        house.rates.update({MODEL: 1e-15})
        house.easel.held_models = (MODEL,)
        house.loans = (loan(90.0),)
        job = await house.submit()
        waiting = await house.generation.job(job.id, ANA)
        assert waiting.state.value == "queued"
        assert waiting.waiting_for == "12.0 GiB of cpu, which 'mira' holds"
        assert waiting.eta_seconds is not None
        assert 90 < waiting.eta_seconds < 91
        house.loans = (loan(None),)
        house.seconds_ahead += 1
        house.dispatcher.connections_changed()
        house.easel.held_models = ()
        house.loans = ()
        house.dispatcher.wake()
        done = await house.end(job.id)
        assert (done.state.value, done.waiting_for) == ("succeeded", None)


async def test_other_models_are_drawn_meanwhile(tmp_path: Path, scribble_models: Path) -> None:
    async with open_house(tmp_path / "data", scribble_models) as house:
        house.easel.held_models = ("scribble-flux",)
        done = await house.draw()
        assert done.images[0].served_by == "local-cpu"
        assert done.waiting_for is None


async def test_a_job_of_a_held_model_may_go_to_a_connection_to_be_in_time(
    tmp_path: Path, scribble_models: Path
) -> None:
    fast = Painter("fast")
    async with open_house(tmp_path / "data", scribble_models, fast) as house:
        await house.chains.put(MODEL, ["fast"])
        house.rates.update({MODEL: 1e-15})
        house.lanes.rates.update({"fast": 2.0})
        house.easel.held_models = (MODEL,)
        house.loans = (loan(500.0),)
        job = await house.end((await house.submit(deadline_seconds=30)).id)
        assert job.images[0].served_by == "fast"
