"""Which plan a model runs with in so much memory: a function of values, for worker and doctor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from server.domain.models import Family
from server.domain.plans import Encoders, Plan, Profile, Weights

MIB = 2**20
GIB = 2**30

# How large a network's linear layers are beside bf16, scales and what stays in bf16 included.
_SIZE: Mapping[Weights, float] = MappingProxyType(
    {"full": 1.0, "int8": 0.52, "fp8": 0.52, "nf4": 0.3}
)
# Beside what is counted: workspaces of convolutions, and what the allocator cannot use of what it
# holds. Reckoned, as the context is; a card has yet to be asked.
_SLACK = 1.25
CUDA_CONTEXT_BYTES = 600 * MIB
_TILE_AREA = 0.25  # of 1024 x 1024, which a tile of 512 x 512 has
# Of what is streamed, the part that is on the device at once: two blocks of a network (FLUX has 57
# alike, SDXL few and large ones), a layer of a text encoder.
_STREAMED: Mapping[Family, float] = MappingProxyType({Family.SDXL: 0.6, Family.FLUX: 0.06})
_STREAMED_ENCODERS = 0.06
MEGAPIXEL = 1024 * 1024
_BF16 = 2


@dataclass(frozen=True, slots=True)
class Parts:
    """Bytes of a model's weights, in the dtype that it runs in; `itemsize` are that dtype's."""

    network: int
    encoders: int
    vae: int
    itemsize: int = _BF16

    @property
    def total(self) -> int:
        """All of them."""
        return self.network + self.encoders + self.vae


@dataclass(frozen=True, slots=True)
class Activations:
    """Bytes that a picture of 1024 x 1024 takes beside the weights, in bf16.

    Counted on the real networks without computing anything: `python -m bench.activations`.
    """

    row: int  # of a forward
    rows: int  # of a picture with its usual guidance
    decode: int


ACTIVATIONS: Mapping[Family, Activations] = MappingProxyType(
    {
        Family.SDXL: Activations(row=158 * MIB, rows=2, decode=1536 * MIB),
        Family.FLUX: Activations(row=468 * MIB, rows=1, decode=1536 * MIB),
    }
)
# Weights of the real checkpoints in bf16, for models whose files are not here.
REAL_PARTS: Mapping[Family, Parts] = MappingProxyType(
    {
        Family.SDXL: Parts(round(4.78 * GIB), round(1.52 * GIB), round(0.16 * GIB)),
        Family.FLUX: Parts(round(22.17 * GIB), round(9.10 * GIB), round(0.16 * GIB)),
    }
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a device can do at all.

    Attributes:
        weights: the forms of weights that its libraries and its arithmetic know.
        streams: whether a network can wait in main memory and come layer by layer.
        profiles: what the model, the request or the owner allows beside EXACT.
        context_bytes: what the libraries take before anything is drawn.
    """

    weights: frozenset[Weights] = frozenset({"full"})
    streams: bool = True
    profiles: frozenset[Profile] = frozenset()
    context_bytes: int = CUDA_CONTEXT_BYTES


def needed_bytes(plan: Plan, parts: Parts, family: Family, *, pixels: int = MEGAPIXEL) -> int:
    """Return what a model takes of a device with `plan` while it draws one picture of `pixels`.

    The most of: reading a prompt, a forward, decoding. Each has the network beside it.
    """
    acts, area = ACTIVATIONS[family], pixels / MEGAPIXEL
    network = parts.network * _SIZE[plan.weights]
    if plan.offload == "group":
        network *= _STREAMED[family]
    encoders = parts.encoders if plan.encoders == "resident" else 0
    reading = {"resident": 0.0, "evicted": 1.0, "streamed": _STREAMED_ENCODERS}[plan.encoders]
    real = REAL_PARTS[family]
    forward = acts.row * acts.rows * area * _width(parts.network, real.network, parts.itemsize)
    tile = min(area, _TILE_AREA) if plan.decode == "tiled" else area
    decode = acts.decode * tile * _width(parts.vae, real.vae, parts.itemsize)
    work = max(reading * parts.encoders, forward * _SLACK, decode * _SLACK)
    return round(network + encoders + parts.vae + work)


def _width(size: int, real: int, itemsize: int) -> float:
    """Return how wide activations are beside the real network's: its weights go with the square."""
    return math.sqrt(size / itemsize / (real / _BF16)) * itemsize / _BF16


def plans_for(profile: Profile, family: Family, offer: Offer) -> Iterator[Plan]:
    """Yield the plans of a profile, the quickest first."""
    if profile is Profile.EXACT:
        yield from _exact_plans(offer)
    elif profile is Profile.FAST:
        yield from _fast_plans(family, offer)
    else:
        yield from _memory_plans(offer)


def _exact_plans(offer: Offer) -> Iterator[Plan]:
    for encoders in _encoders(offer):
        yield Plan(encoders=encoders)
    if offer.streams:
        yield Plan(encoders="streamed", offload="group")


def _fast_plans(family: Family, offer: Offer) -> Iterator[Plan]:
    # Fewer bits alone are no faster: only multiplying in them is.
    weights: Weights = "fp8" if "fp8" in offer.weights else "full"
    cached = family is Family.FLUX
    if weights == "full" and not cached:
        return
    for encoders in _encoders(offer):
        yield Plan(profile=Profile.FAST, weights=weights, encoders=encoders, block_cache=cached)


def _memory_plans(offer: Offer) -> Iterator[Plan]:
    fewer: tuple[Weights, ...] = ("int8", "nf4")
    for weights in fewer:
        if weights in offer.weights:
            for encoders in _encoders(offer):
                yield Plan(profile=Profile.MEMORY, weights=weights, encoders=encoders)
            yield Plan(
                profile=Profile.MEMORY,
                weights=weights,
                encoders=_encoders(offer)[-1],
                decode="tiled",
            )
    if offer.streams:
        yield Plan(profile=Profile.MEMORY, encoders="streamed", offload="group", decode="tiled")


def choose(
    parts: Parts,
    family: Family,
    free_bytes: int,
    offer: Offer,
    *,
    wanted: Profile | None = None,
    pixels: int = MEGAPIXEL,
) -> Plan | None:
    """Return the quickest plan that fits into `free_bytes`, or None.

    Args:
        parts: the model's weights.
        family: what it is.
        free_bytes: of the device.
        offer: what the device can do, and which profiles are allowed.
        wanted: a profile that is asked for by name comes first; else EXACT does, and others only
            where no exact plan but a streamed one fits.
        pixels: of a picture.
    """
    order = [Profile.EXACT, Profile.MEMORY]
    if wanted is not None:
        order = [wanted, *(profile for profile in order if profile is not wanted)]
    allowed = [p for p in order if p is Profile.EXACT or p in offer.profiles or p is wanted]
    fitting = [
        plan
        for profile in allowed
        for plan in plans_for(profile, family, offer)
        if needed_bytes(plan, parts, family, pixels=pixels) + offer.context_bytes <= free_bytes
    ]
    # A network that is streamed for every step is many times slower than a smaller one here.
    quick = [plan for plan in fitting if plan.offload == "none"]
    return next(iter([*quick, *fitting]), None)


def smallest(parts: Parts, family: Family, offer: Offer, *, pixels: int = MEGAPIXEL) -> Plan:
    """Return the allowed plan that takes least."""
    allowed = [p for p in Profile if p is Profile.EXACT or p in offer.profiles]
    plans = [plan for profile in allowed for plan in plans_for(profile, family, offer)]
    return min(plans, key=lambda plan: needed_bytes(plan, parts, family, pixels=pixels))


def _encoders(offer: Offer) -> tuple[Encoders, ...]:
    # Where nothing can be streamed, the device is the main memory: nothing can leave it.
    return ("resident", "evicted", "streamed") if offer.streams else ("resident",)
