"""Several adapters with weights, as one picture is drawn with them."""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Iterable

from server.domain.errors import RequestRefusedError
from server.engine.adapters.adapter import Adapter
from server.engine.adapters.packing import rank_of_layers

RANKS = (16, 32, 64, 128)  # of a seat: few sizes, so that few shapes are ever seen

Mix = tuple[tuple[Adapter, float], ...]


def part(mix: Mix, component: str) -> Mix:
    """Return what of `mix` changes `component` at all."""
    return tuple(
        (adapter, weight)
        for adapter, weight in mix
        if weight != 0 and adapter.components.get(component)
    )


def check_rank(mix: Mix) -> None:
    """Raise RequestRefusedError if `mix` has more rank than the largest seat, in any component."""
    for name in {name for adapter, _ in mix for name in adapter.components}:
        bucket(rank_of(part(mix, name), name))


def rank_of(mix: Mix, component: str) -> int:
    """Return the sum of the ranks that the adapters of `mix` have in `component`."""
    return sum(rank_of_layers(adapter.components[component]) for adapter, _ in mix)


def bucket(rank: int) -> int:
    """Return the smallest of RANKS that has room for `rank`.

    Raises:
        RequestRefusedError: none has.
    """
    for room in RANKS:
        if rank <= room:
            return room
    raise RequestRefusedError(
        f"the adapters of one picture have rank {rank} together, and {RANKS[-1]} is the most; "
        "take fewer of them or such of a smaller rank",
        parameter="adapters",
    )


def key(mix: Mix, components: Iterable[str]) -> Hashable:
    """Return what tells mixes apart by what they do to `components`.

    It keeps no adapter in memory, and no later adapter is taken for one that is gone.
    """
    return tuple(
        (name, *((weakref.ref(adapter), weight) for adapter, weight in part(mix, name)))
        for name in components
    )
