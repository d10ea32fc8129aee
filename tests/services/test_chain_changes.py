"""Connections that their owner changes while jobs wait for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from server.domain.errors import GpuMemoryError, NotFoundError
from server.domain.jobs import JobState
from server.services.breaker import FAILURES, BreakerState
from tests.api.pictures import png
from tests.services.chain_house import MODEL, House, open_house
from tests.services.members import Painter
from tests.store.values import an_upload


async def test_no_picture_goes_where_its_owner_forbids_it_meanwhile(
    tmp_path: Path, scribble_models: Path
) -> None:
    first = Painter("first", takes=("image", "strength"), takes_pictures=True, concurrency=1)
    first.may_draw.clear()
    async with open_house(tmp_path / "data", scribble_models, first) as house:
        data = png(64, 64)
        upload = await house.store.keep_upload(an_upload(data), data)
        under_way = await house.submit(model="first")
        await first.begun.wait()
        waiting = await house.submit(model="first", image=upload.id, strength=0.5)
        await changed(house, "first", takes_pictures=False)
        first.may_draw.set()
        ended = await house.end(waiting.id)
        assert (await house.end(under_way.id)).state is JobState.SUCCEEDED
    assert ended.error is not None
    assert "takes_pictures" in ended.error.detail
    assert len(first.asked) == 1
    assert not any(line.may_have_billed for line in ended.tried)


async def test_who_is_no_longer_trusted_draws_nothing_that_was_free(
    tmp_path: Path, scribble_models: Path
) -> None:
    first = Painter("first", is_trusted=True, concurrency=1)
    first.may_draw.clear()
    async with open_house(tmp_path / "data", scribble_models, first) as house:
        under_way = await house.submit(model="first")
        await first.begun.wait()
        await house.chains.put(MODEL, ["first"])
        house.easel.fails.append(GpuMemoryError("full"))
        waiting = await house.submit(fallback="local")
        for _ in range(2000):
            if len(house.lanes):
                break
            await asyncio.sleep(0.01)
        await changed(house, "first", is_trusted=False)
        first.may_draw.set()
        ended = await house.end(waiting.id)
        assert (await house.end(under_way.id)).state is JobState.SUCCEEDED
    assert ended.error is not None
    assert "no longer trusted" in ended.error.detail
    assert len(first.asked) == 1


async def changed(house: House, name: str, **values: bool) -> None:
    row = next(r for r in await house.store.connections.list() if r.name == name)
    await house.store.connections.change(row.model_copy(update=values))
    await house.remotes.refresh()


async def test_a_fault_of_the_request_alone_is_not_held_against_a_connection(
    tmp_path: Path, scribble_models: Path
) -> None:
    painter = Painter("atelier")
    painter.fails.extend([NotFoundError("the picture was deleted meanwhile")] * FAILURES)
    async with open_house(tmp_path / "data", scribble_models, painter) as house:
        for _ in range(FAILURES):
            assert (await house.draw(model="atelier")).state is JobState.FAILED
        assert house.lanes.lane("atelier").breaker.state is BreakerState.CLOSED
        assert (await house.draw(model="atelier")).state is JobState.SUCCEEDED
