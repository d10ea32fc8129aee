"""How each model would run: on this machine, or on a card of so many GiB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.cli.doctor_checks import Device, Facts
from server.domain.errors import AppError
from server.domain.models import Family, ModelInfo, ModelState
from server.domain.planning import (
    GIB,
    REAL_PARTS,
    Offer,
    Parts,
    choose,
    needed_bytes,
    smallest,
)
from server.domain.plans import RESIDENT, Plan, Profile
from server.engine.parts import parts_of
from server.registry.registry import Registry

_ITEMSIZE = {"float32": 4, "bfloat16": 2, "float16": 2}
_USABLE = 0.96  # of a card's memory; drivers and screens take the rest
# As cards since Ada and Hopper, with the extras installed.
_ANY_CARD = Offer(weights=frozenset({"full", "int8", "fp8", "nf4"}))


@dataclass(frozen=True, slots=True)
class Planned:
    """What would happen to one model; `fits` is None where nothing is known of it."""

    id: str
    state: str
    device: str | None
    dtype: str | None
    fits: bool | None
    plan: str
    why: str


@dataclass(frozen=True, slots=True)
class OnCard:
    """How a model would run on a card of some size, by what a picture may give up."""

    id: str
    card_gib: float
    exact: str
    memory: str
    fast: str


def plans(registry: Registry, facts: Facts) -> tuple[Planned, ...]:
    """Return the exact plan of every model on the best device here."""
    usable = [device for device in facts.devices if device.error is None]
    best = max(usable, key=lambda device: (device.id != "cpu", device.total_bytes), default=None)
    return tuple(_planned(registry, info, best) for info in registry.infos())


def on_cards(registry: Registry, sizes_gib: Sequence[float]) -> tuple[OnCard, ...]:
    """Return the plans of every local model on cards of these sizes."""
    found = []
    for info in registry.infos():
        if info.family is Family.REMOTE or registry.status(info.id)[0] is ModelState.BROKEN:
            continue
        parts = _parts(registry, info, "bfloat16")
        if parts is not None:
            found += [_on_card(info, parts, size) for size in sizes_gib]
    return tuple(found)


def _on_card(info: ModelInfo, parts: Parts, size_gib: float) -> OnCard:
    free = round(size_gib * GIB * _USABLE)
    allowing = replace(_ANY_CARD, profiles=frozenset({Profile.MEMORY}))

    def said(offer: Offer, wanted: Profile | None = None) -> str:
        plan = choose(parts, info.family, free, offer, wanted=wanted)
        return "none" if plan is None else f"{plan.name} ({_need(plan, parts, info, offer)})"

    return OnCard(
        id=info.id,
        card_gib=size_gib,
        exact=said(_ANY_CARD),
        memory=said(allowing),
        fast=said(_ANY_CARD, Profile.FAST),
    )


def _planned(registry: Registry, info: ModelInfo, device: Device | None) -> Planned:
    state, reason = registry.status(info.id)
    if state in (ModelState.BROKEN, ModelState.UNSUPPORTED):
        return Planned(info.id, state.value, None, None, None, "none", reason or "")
    if device is None:
        return Planned(info.id, state.value, None, None, None, "none", "no device can be used")
    parts = _parts(registry, info, device.dtype)
    if parts is None:
        return Planned(
            info.id, state.value, device.id, device.dtype, None, "none", "nothing is known of it"
        )
    offer = _offer(device)
    plan = choose(parts, info.family, device.free_bytes, offer)
    have = f"{device.id} has {device.free_bytes / GIB:.1f} GiB free"
    if plan is None:
        least = smallest(parts, info.family, offer)
        why = f"needs {_need(least, parts, info, offer)} even as '{least.name}', {have}"
        return Planned(info.id, state.value, device.id, device.dtype, False, "none", why)
    why = f"needs {_need(plan, parts, info, offer)}, {have}"
    said = f"{plan.name} on {device.id}, {device.dtype}"
    return Planned(info.id, state.value, device.id, device.dtype, True, said, why)


def _offer(device: Device) -> Offer:
    weights = frozenset(device.weights)
    if device.id == "cpu":
        return Offer(weights, streams=False, context_bytes=0)
    return Offer(weights)


def _need(plan: Plan, parts: Parts, info: ModelInfo, offer: Offer) -> str:
    need = needed_bytes(plan, parts, info.family) + offer.context_bytes
    return f"{need / GIB:.1f} GiB"


def _parts(registry: Registry, info: ModelInfo, dtype: str) -> Parts | None:
    """Return a model's own weights, or what its entry and its family let expect."""
    itemsize = _ITEMSIZE.get(dtype, 2)
    try:
        here = parts_of(registry.engine_model(info.id), itemsize)
    except AppError:  # its files are not here
        here = None
    usual = REAL_PARTS.get(info.family)
    if here is not None or usual is None:
        return here
    scale = itemsize / usual.itemsize
    if info.needs_vram_gib is not None:
        reckoned = needed_bytes(RESIDENT, usual, info.family) + _ANY_CARD.context_bytes
        told = info.needs_vram_gib * GIB / reckoned
        scale *= 1 if 0.5 < told < 2 else told  # ours are counted, entries are rounded
    return Parts(
        round(usual.network * scale),
        round(usual.encoders * scale),
        round(usual.vae * scale),
        itemsize,
    )
