from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.models import Family
from server.domain.planning import (
    GIB,
    MEGAPIXEL,
    REAL_PARTS,
    Offer,
    Parts,
    choose,
    needed_bytes,
    plans_for,
    smallest,
)
from server.domain.plans import RESIDENT, Plan, Profile

CARD = Offer(weights=frozenset({"full", "int8", "fp8", "nf4"}))
FAMILIES = st.sampled_from([Family.SDXL, Family.FLUX])


def allowing(*profiles: Profile) -> Offer:
    return replace(CARD, profiles=frozenset(profiles))


@given(FAMILIES, st.floats(0.1, 200), st.sampled_from([None, Profile.FAST]))
def test_what_is_chosen_fits_and_nothing_is_given_up_that_nobody_allowed(
    family: Family, gib: float, wanted: Profile | None
) -> None:
    free = round(gib * GIB)
    for offer in (CARD, allowing(Profile.MEMORY)):
        plan = choose(REAL_PARTS[family], family, free, offer, wanted=wanted)
        if plan is None:
            continue
        assert needed_bytes(plan, REAL_PARTS[family], family) + offer.context_bytes <= free
        assert plan.profile in {Profile.EXACT, *offer.profiles, wanted}
        assert plan.weights in offer.weights


@given(FAMILIES, st.floats(0.1, 200), st.floats(0, 100))
def test_more_memory_never_makes_a_picture_less_exact(
    family: Family, gib: float, more: float
) -> None:
    offer = allowing(Profile.MEMORY)
    small, large = (
        choose(REAL_PARTS[family], family, round(size * GIB), offer) for size in (gib, gib + more)
    )
    if small is not None:
        assert large is not None
        if small.profile is Profile.EXACT and small.offload == "none":
            assert large.profile is Profile.EXACT


@given(FAMILIES, st.integers(64 * 64, 4 * MEGAPIXEL))
def test_every_step_down_takes_less_and_the_smallest_least(family: Family, pixels: int) -> None:
    parts = REAL_PARTS[family]
    exact = [
        needed_bytes(plan, parts, family, pixels=pixels)
        for plan in plans_for(Profile.EXACT, family, CARD)
    ]
    assert exact == sorted(exact, reverse=True)
    offer = allowing(*Profile)
    least = needed_bytes(
        smallest(parts, family, offer, pixels=pixels), parts, family, pixels=pixels
    )
    assert all(
        least <= needed_bytes(plan, parts, family, pixels=pixels)
        for profile in Profile
        for plan in plans_for(profile, family, offer)
    )


def test_a_device_that_streams_nothing_keeps_everything_on_it() -> None:
    cpu = Offer(streams=False, context_bytes=0)
    assert list(plans_for(Profile.EXACT, Family.FLUX, cpu)) == [RESIDENT]
    assert choose(REAL_PARTS[Family.FLUX], Family.FLUX, 8 * GIB, cpu) is None


def test_a_small_network_needs_little_beside_its_weights() -> None:
    small = Parts(network=16_000_000, encoders=2_000_000, vae=6_000_000, itemsize=4)
    assert needed_bytes(RESIDENT, small, Family.SDXL, pixels=64 * 64) < 27_000_000


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        (RESIDENT, "exact"),
        (Plan(encoders="evicted"), "exact, encoders evicted"),
        (
            Plan(profile=Profile.FAST, weights="fp8", block_cache=True),
            "fast, fp8, block cache",
        ),
        (
            Plan(encoders="streamed", offload="group", decode="tiled"),
            "exact, encoders streamed, network streamed, tiled decode",
        ),
    ],
)
def test_a_plan_is_told_in_a_few_words(plan: Plan, name: str) -> None:
    assert plan.name == name
