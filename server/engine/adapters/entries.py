"""The tensors of a file, put together: which belong to one layer, and what kind it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from server.domain.errors import AdapterError

_DOWN = (
    ".lora_A.weight",
    ".lora_A.default.weight",
    ".lora_down.weight",
    ".lora.down.weight",
    ".lora_linear_layer.down.weight",
    "_lora.down.weight",
)
_UP = (
    ".lora_B.weight",
    ".lora_B.default.weight",
    ".lora_up.weight",
    ".lora.up.weight",
    ".lora_linear_layer.up.weight",
    "_lora.up.weight",
)
_ALPHA = (".alpha",)
_PARTS: Mapping[str, tuple[str, ...]] = {"down": _DOWN, "up": _UP, "alpha": _ALPHA}
# Kinds that are something else than two matrices, by how a part of a key begins or what it is.
_OTHER_KINDS: Mapping[str, str] = {
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "lokr_": "LoKr",
    "hada_": "LoHa",
    "oft_": "OFT",
    "boft_": "BOFT",
    "lora_mid": "LoCon with a Tucker core",
    "lora_embedding_": "LoRA of embeddings",
}
_OTHER_ENDINGS: Mapping[str, str] = {
    "bias": "LoRA with biases",
    "diff": "LoRA with whole differences",
    "diff_b": "LoRA with whole differences",
    "set_weight": "LoRA with whole weights",
}


@dataclass(slots=True)
class Entry:
    """The keys of one layer in a file; `base` is what they have in common."""

    base: str
    keys: dict[str, str] = field(default_factory=dict)  # of _PARTS


def entries_of(names: Iterable[str]) -> list[Entry]:
    """Return the layers that `names` are about.

    Raises:
        AdapterError: the file is of a kind that is not drawn with, has keys of no known form, or
            a layer lacks one of its matrices.
    """
    names = list(names)
    refuse_other_kinds(names)
    entries: dict[str, Entry] = {}
    unknown = []
    for name in names:
        part, base = _taken_apart(name)
        if base is None:
            unknown.append(name)
            continue
        entry = entries.setdefault(base, Entry(base))
        if part in entry.keys:
            raise AdapterError(f"'{name}' and '{entry.keys[part]}' are the same thing twice")
        entry.keys[part] = name
    if unknown:
        raise AdapterError(f"unknown keys: {listed(unknown)}")
    for entry in entries.values():
        for part in ("down", "up"):
            if part not in entry.keys:
                raise AdapterError(f"layer '{entry.base}' has no {part} matrix")
    return list(entries.values())


def refuse_other_kinds(names: Iterable[str]) -> None:
    """Raise AdapterError if `names` are of a kind that is not drawn with."""
    for name in names:
        kind = _other_kind(name.split("."))
        if kind is not None:
            raise AdapterError(
                f"this adapter is a {kind} ('{name[:120]}'); LoRA and LoCon are drawn with, and "
                "other kinds can be converted to LoRA by the programs that made them"
            )


def _other_kind(parts: list[str]) -> str | None:
    for mark, kind in _OTHER_KINDS.items():
        if any(part.startswith(mark) for part in parts):
            return kind
    return _OTHER_ENDINGS.get(parts[-1])


def listed(names: list[str]) -> str:
    """Return some of `names` for a message, and how many more there are."""
    some = ", ".join(f"'{name[:120]}'" for name in names[:3])
    return some if len(names) <= 3 else f"{some} and {len(names) - 3} more"


def _taken_apart(name: str) -> tuple[str, str | None]:
    for part, endings in _PARTS.items():
        for ending in endings:
            if name.endswith(ending):
                return part, name.removesuffix(ending)
    return "", None
