"""Which members a request may go to, and why others may not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from server.domain.adapters import StoredAdapter
from server.domain.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    ModelUnavailableError,
    NotFoundError,
    RequestRefusedError,
)
from server.domain.images import Fallback, ImageRequest
from server.domain.models import Family
from server.domain.routes import MemberKind
from server.services.chains import Chains
from server.services.views import JobView
from tests.api.pictures import png
from tests.services.chain_house import ANA, MODEL, House, open_house
from tests.services.members import Painter, Peer
from tests.store.values import NOW, an_upload

ADAPTER = StoredAdapter(
    id="fox",
    sha256="0" * 64,
    family=Family.SDXL,
    rank=4,
    layers=3,
    size_bytes=10,
    file_name="fox.safetensors",
    created_at=NOW,
)


@pytest_asyncio.fixture
async def house(tmp_path: Path, scribble_models: Path) -> AsyncIterator[House]:
    painters = (
        Painter("paid"),
        Painter("friend", is_trusted=True),
        Painter("open", takes=("image", "strength", "references"), takes_pictures=True),
        Painter("closed", is_active=False),
        Peer("twin", ADAPTER),
        Peer("stranger", ADAPTER.model_copy(update={"sha256": "1" * 64})),
    )
    async with open_house(tmp_path / "data", scribble_models, *painters) as house:
        await house.chains.put(MODEL, ["paid", "friend", "open", "scribble-flux"])
        house.easel.is_ready = False  # only routes are looked at
        yield house


def allowed(job: JobView) -> list[str]:
    return [member.name for member in job.route if member.is_allowed]


def barred(job: JobView) -> dict[str, str | None]:
    return {member.name: member.code for member in job.route if not member.is_allowed}


async def a_picture(house: House) -> str:
    data = png(64, 64)
    upload = await house.store.keep_upload(an_upload(data), data)
    return upload.id


async def test_without_a_word_the_whole_chain_may_draw(house: House) -> None:
    job = await house.submit()
    assert job.fallback is Fallback.ANY
    assert allowed(job) == [MODEL, "paid", "friend", "open", "scribble-flux"]
    kinds = [member.kind for member in job.route]
    assert kinds == [MemberKind.LOCAL, *[MemberKind.REMOTE] * 3, MemberKind.LOCAL]
    assert all(member.resolved is not None for member in job.route)


@pytest.mark.parametrize(
    ("fallback", "names", "code"),
    [
        ("never", [MODEL], "fallback-never"),
        ("local", [MODEL, "friend", "scribble-flux"], "fallback-local"),
        ("any", [MODEL, "paid", "friend", "open", "scribble-flux"], None),
    ],
)
async def test_the_request_decides_how_far_it_may_go(
    fallback: str, names: list[str], code: str | None, house: House
) -> None:
    job = await house.submit(fallback=fallback)
    assert allowed(job) == names
    assert set(barred(job).values()) == ({code} if code else set())


@pytest.mark.parametrize("fallback", [None, "any"])
async def test_pictures_go_only_where_the_owner_of_the_connection_allows_it(
    fallback: str | None, house: House
) -> None:
    job = await house.submit(image=await a_picture(house), fallback=fallback)
    assert barred(job)["paid"] == barred(job)["friend"] == "pictures-stay"
    assert "open" in allowed(job)


async def test_a_connection_that_is_named_gets_no_pictures_either(house: House) -> None:
    with pytest.raises(RequestRefusedError, match="takes_pictures"):
        await house.submit(model="paid", image=await a_picture(house))


async def test_a_character_has_no_twin_and_the_chain_offers_references_where_they_may_go(
    house: House,
) -> None:
    await house.store.adapters.add(ADAPTER)
    job = await house.submit(prompt="a fox <lora:fox:0.8>")
    assert allowed(job) == [MODEL]
    details = {m.name: m.detail for m in job.route if m.code == "no-twin"}
    assert details["paid"] == "'fox' has no twin on 'paid'; leave it out"
    assert details["open"] == (
        "'fox' has no twin on 'open'; pictures of it as references would be taken instead"
    )


async def test_a_peer_has_the_twin_of_a_character_only_if_it_is_the_same_file(
    house: House,
) -> None:
    await house.store.adapters.add(ADAPTER)
    await house.chains.put(MODEL, ["stranger", "twin"])
    job = await house.submit(prompt="a fox <lora:fox:0.8>")
    assert (allowed(job), barred(job)) == ([MODEL, "twin"], {"stranger": "no-twin"})
    resolved = job.route[2].resolved
    assert resolved is not None
    assert [(one.id, one.weight) for one in resolved.adapters] == [("fox", 0.8)]


async def test_what_a_member_cannot_do_bars_it_by_name(house: House) -> None:
    job = await house.submit(num_inference_steps=3, prompt="a forbidden word")
    assert barred(job) == {
        "paid": "request-refused",
        "friend": "request-refused",
        "open": "request-refused",
    }
    assert "num_inference_steps" in str(job.route[1].detail)
    job = await house.submit(prompt="a forbidden word")
    assert job.route[1].detail == "'paid' does not know that word"


async def test_every_member_resolves_for_itself_with_one_seed(house: House) -> None:
    job = await house.submit(seed=None)
    resolved = [m.resolved for m in job.route if m.resolved is not None]
    assert len({r.seed for r in resolved}) == 1
    assert [r.model for r in resolved] == [m.name for m in job.route]
    assert job.resolved.num_inference_steps is not None
    assert resolved[1].num_inference_steps is None


async def test_a_name_that_is_nobody_is_a_note_and_no_error(house: House) -> None:
    await house.store.chains.put(MODEL, ["closed", "nobody"])
    job = await house.submit()
    assert barred(job) == {"closed": "unknown-member", "nobody": "unknown-member"}


async def test_a_model_whose_files_are_not_here_is_passed(house: House) -> None:
    await house.chains.put("sdxl", ["paid"])
    job = await house.end((await house.submit(model="sdxl")).id)
    assert job.images[0].served_by == "paid"
    assert [(line.member, line.outcome.value) for line in job.tried] == [
        ("sdxl-base", "skipped"),
        ("paid", "drew"),
    ]
    await house.chains.put("sdxl", [])
    with pytest.raises(ModelUnavailableError):
        await house.submit(model="sdxl")


async def test_an_alias_may_have_a_chain_of_its_own(house: House) -> None:
    await house.chains.put("sdxl", ["paid"])
    assert await house.chains.of("sdxl", "sdxl-base") == ("paid",)
    assert await house.chains.of("sdxl-base", "sdxl-base") == ()
    assert (await house.chains.get("sdxl")).is_own
    assert not (await house.chains.get("sdxl-base")).is_own


async def test_a_chain_that_the_command_line_set_is_taken_over_in_two_seconds(
    house: House,
) -> None:
    seconds = 0.0
    chains = Chains(house.store, house.registry, lambda: seconds)
    assert "paid" in await chains.of(MODEL, MODEL)
    await house.chains.put(MODEL, ["friend"])  # another process
    seconds = 2.1
    assert await chains.of(MODEL, MODEL) == ("friend",)


async def test_models_yaml_has_chains_until_the_owner_sets_another(house: House) -> None:
    assert await house.chains.of("flux-dev", "flux-dev") == ("flux-schnell",)
    await house.chains.put("flux-dev", ["paid", "schnell"])
    assert [m.name for m in (await house.chains.get("flux-dev")).members] == ["paid", "schnell"]
    listed = {chain.model: chain.is_own for chain in await house.chains.list()}
    assert listed == {MODEL: True, "flux-dev": True}
    await house.chains.remove("flux-dev")
    assert await house.chains.of("flux-dev", "flux-dev") == ("flux-schnell",)


async def test_chains_are_checked_when_they_are_set(house: House) -> None:
    with pytest.raises(ModelNotFoundError):
        await house.chains.put("nobody", ["paid"])
    with pytest.raises(InvalidRequestError, match="'nobody' is no model"):
        await house.chains.put(MODEL, ["nobody"])
    with pytest.raises(InvalidRequestError, match="asked twice"):
        await house.chains.put(MODEL, ["paid", "paid"])
    with pytest.raises(InvalidRequestError, match="asked twice"):
        await house.chains.put(MODEL, [MODEL])
    await house.chains.remove(MODEL)
    with pytest.raises(NotFoundError):
        await house.chains.remove(MODEL)
    assert (await house.chains.get(MODEL)).members == ()


async def test_an_estimate_says_who_would_draw(house: House) -> None:
    request = ImageRequest(prompt="a fox", model="paid")
    estimate = await house.generation.estimate(request, ANA)
    assert (estimate.served_by, estimate.seconds) == ("paid", None)
    await house.draw(model="paid")
    estimate = await house.generation.estimate(request, ANA)
    assert estimate.seconds is not None
    here = await house.generation.estimate(request.model_copy(update={"model": MODEL}), ANA)
    assert here.served_by == "local"
    assert [member.name for member in here.route][1] == "paid"


async def test_a_model_that_has_a_connections_name_goes_before_it(
    tmp_path: Path, scribble_models: Path
) -> None:
    taken = Painter(MODEL)  # made before the model was put onto the list
    async with open_house(tmp_path / "taken", scribble_models, taken) as house:
        job = await house.draw()
        assert [image.served_by for image in job.images] == ["local-cpu"]
        await house.chains.put("scribble-flux", [MODEL])
        (member,) = (await house.chains.get("scribble-flux")).members
        assert member.kind is MemberKind.LOCAL
    assert not taken.asked


class SilentPeer(Peer):
    """It took the call for its adapters, and says nothing."""

    async def adapters(self) -> tuple[StoredAdapter, ...]:
        await asyncio.Event().wait()
        return ()


async def test_a_peer_that_says_nothing_of_its_adapters_holds_no_request_up(
    tmp_path: Path, scribble_models: Path
) -> None:
    async with open_house(tmp_path / "data", scribble_models, SilentPeer("silent")) as house:
        await house.store.adapters.add(ADAPTER)
        await house.chains.put(MODEL, ["silent"])
        async with asyncio.timeout(10):
            job = await house.submit(prompt="a fox <lora:fox:0.8>")
        assert barred(job) == {"silent": "provider-unreachable"}
