"""Adapters as they are kept and as requests name them, in a list or as `<lora:name:0.8>`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import ValidationError

from server.domain.errors import RequestRefusedError
from server.domain.images import AdapterId, AdapterRef, DrawnAdapter, Frozen, ImageRequest
from server.domain.models import Family, ModelInfo

# Other programs' way to name an adapter inside a prompt. It goes with the space before it.
_TAG = re.compile(r"\s*<lora:([^<>]*)>", re.IGNORECASE)
_MOST_NAMED = 20  # in one message


class StoredAdapter(Frozen):
    """An adapter that every key may draw with; its file is known by its hash.

    Attributes:
        rank: the largest of its layers, as the file has them.
        layers: how many layers of a network it changes.
        file_name: as whoever brought it called the file.
    """

    id: AdapterId
    sha256: str
    family: Family
    rank: int
    layers: int
    size_bytes: int
    file_name: str
    created_at: datetime


def with_tags_read(request: ImageRequest) -> ImageRequest:
    """Return `request` with the adapters that its prompt names in its list, and not in its prompt.

    Raises:
        RequestRefusedError: a tag is none that can be read, or nothing else is in the prompt, or
            one is in the negative prompt.
    """
    if _TAG.search(request.negative_prompt or ""):
        raise RequestRefusedError(
            "adapters are named in the prompt; against what one draws, give it a negative weight",
            parameter="negative_prompt",
        )
    tags: list[str] = _TAG.findall(request.prompt)
    if not tags:
        return request
    prompt = _TAG.sub("", request.prompt).strip()
    if not prompt:
        raise RequestRefusedError(
            "the prompt names adapters and nothing else; say what to draw", parameter="prompt"
        )
    adapters = (*request.adapters, *map(_ref, tags))
    return request.model_copy(update={"prompt": prompt, "adapters": adapters})


def names_adapters(request: ImageRequest) -> bool:
    """Return whether `request` has an adapter anywhere, so that somebody must know of them."""
    return bool(request.adapters) or _TAG.search(request.prompt) is not None


def drawn_adapters(
    asked: Iterable[AdapterRef], model: ModelInfo, known: Mapping[str, StoredAdapter]
) -> tuple[DrawnAdapter, ...]:
    """Return the adapters of a request, each with the file that it means now.

    Raises:
        RequestRefusedError: one is named twice, unknown, or for another family of models.
    """
    drawn: dict[str, DrawnAdapter] = {}
    for ref in asked:
        if ref.id in drawn:
            raise RequestRefusedError(f"adapter '{ref.id}' is named twice", parameter="adapters")
        stored = _known(ref.id, model, known)
        drawn[ref.id] = DrawnAdapter(id=ref.id, sha256=stored.sha256, weight=ref.weight)
    return tuple(drawn.values())


def _known(adapter_id: str, model: ModelInfo, known: Mapping[str, StoredAdapter]) -> StoredAdapter:
    found = known.get(adapter_id)
    if found is None:
        raise RequestRefusedError(
            f"no adapter '{adapter_id}'; for model '{model.id}' there are "
            f"{_names(known.values(), model.family)}",
            parameter="adapters",
        )
    if found.family is not model.family:
        raise RequestRefusedError(
            f"adapter '{adapter_id}' is for {found.family.value} models, and '{model.id}' is of "
            f"family {model.family.value}; for it there are {_names(known.values(), model.family)}",
            parameter="adapters",
        )
    return found


def _names(known: Iterable[StoredAdapter], family: Family) -> str:
    names = sorted(adapter.id for adapter in known if adapter.family is family)
    shown = ", ".join(names[:_MOST_NAMED]) or "none"
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def _ref(tag: str) -> AdapterRef:
    """Return what stands between `<lora:` and `>`.

    Raises:
        RequestRefusedError: it is no name with at most one weight.
    """
    name, colon, weight = tag.partition(":")
    try:
        return AdapterRef.model_validate({"id": name, **({"weight": weight} if colon else {})})
    except ValidationError as error:
        raise RequestRefusedError(
            f"'<lora:{tag[:100]}>' is not understood; write <lora:NAME> or <lora:NAME:WEIGHT>, "
            "with the name as adapters are listed and a weight from -4 to 4",
            parameter="prompt",
        ) from error
