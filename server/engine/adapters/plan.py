"""From a file's header to the layers it changes; all that can be wrong with it is found here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.domain.errors import AdapterError
from server.domain.models import Family
from server.engine.adapters.alphas import Alphas
from server.engine.adapters.entries import Entry, entries_of, listed, refuse_other_kinds
from server.engine.adapters.header import Header
from server.engine.adapters.layers import LayerShape
from server.engine.adapters.mix import RANKS
from server.engine.adapters.names import Place, flat, table_of
from server.engine.adapters.origin import check_family

MAX_RANK = RANKS[-1]


@dataclass(frozen=True, slots=True)
class Planned:
    """One layer of a file, checked: `places` are what it is in the network."""

    entry: Entry
    places: Sequence[Place]
    rank: int


def plan(
    header: Header, family: Family, networks: Mapping[str, Mapping[str, LayerShape]]
) -> list[Planned]:
    """Return what the file of `header` changes.

    Args:
        header: of the file.
        family: of the model.
        networks: the model's layers by component.

    Raises:
        AdapterError: the file is of another kind or for another model, or does not fit this one.
    """
    refuse_other_kinds(header.shapes)
    check_family(header.shapes, family)
    Alphas.of(header)  # says what is wrong with the file's own words
    table = table_of(family, networks)
    entries = entries_of(header.shapes)
    strange = [entry.base for entry in entries if flat(entry.base) not in table]
    if strange:
        raise AdapterError(f"this model has no such layers: {listed(strange)}")
    planned = [_checked(entry, table[flat(entry.base)], header.shapes) for entry in entries]
    _refuse_doubles(planned)
    return planned


def _checked(
    entry: Entry, places: Sequence[Place], shapes: Mapping[str, tuple[int, ...]]
) -> Planned:
    """Return `entry` once its shapes are those of its layer.

    Raises:
        AdapterError: they are not, or the rank is none that is drawn with.
    """
    down, up = shapes[entry.keys["down"]], shapes[entry.keys["up"]]
    rank = down[0] if down else 0
    # What a fused layer has may be each part's own rank, side by side.
    if not 1 <= rank <= MAX_RANK * len(places):
        raise AdapterError(f"'{entry.base}' has rank {rank}; from 1 to {MAX_RANK} are drawn with")
    first = places[0].shape
    outputs = sum(place.shape.outputs for place in places)
    wanted = first.down(rank), LayerShape(first.inputs, outputs, first.kernel).up(rank)
    for part, got, want in (("down", down, wanted[0]), ("up", up, wanted[1])):
        if _bare(got) != _bare(want):
            raise AdapterError(
                f"'{entry.keys[part]}' has shape {got}, and this model's layer needs {want}"
            )
    alpha = shapes.get(entry.keys.get("alpha", ""), ())
    if alpha not in ((), (1,)):
        raise AdapterError(f"'{entry.keys['alpha']}' has shape {alpha} and should be one number")
    return Planned(entry, places, rank)


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return `shape` without a kernel of one: some write linear layers as such convolutions."""
    return shape[:2] if shape[2:] == (1, 1) else shape


def _refuse_doubles(planned: Sequence[Planned]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for one in planned:
        for place in one.places:
            other = seen.setdefault((place.component, place.path), one.entry.base)
            if other != one.entry.base:
                raise AdapterError(f"'{other}' and '{one.entry.base}' are the same layer")
