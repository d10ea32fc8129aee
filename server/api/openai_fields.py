"""Fields of a multipart body as the values that they would be in JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

from server.domain.errors import InvalidRequestError

T = TypeVar("T")
_NAME = re.compile(r"([^\[\]]+)(?:\[([^\[\]]*)\])?")  # name, name[] or name[key]


def nested(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return fields as OpenAI's SDKs write them: `n`, `svg[model]`, `target_size[]` for each item.

    An empty field is left out: it is how they write null.

    Raises:
        InvalidRequestError: a field stands twice.
    """
    found: dict[str, Any] = {}
    for name, value in fields:
        if value == "":
            continue
        match = _NAME.fullmatch(name)
        key, inner = (match[1], match[2]) if match else (name, None)
        if inner is None:
            _put(found, key, value, name)
        elif inner == "":
            _inside(found, key, list, name).append(value)
        else:
            _put(_inside(found, key, dict, name), inner, value, name)
    return found


def _put(into: dict[str, Any], key: str, value: str, name: str) -> None:
    if key in into:
        raise _twice(name)
    into[key] = value


def _inside(found: dict[str, Any], key: str, kind: type[T], name: str) -> T:
    inside = found.setdefault(key, kind())
    if not isinstance(inside, kind):
        raise _twice(name)
    return inside


def _twice(name: str) -> InvalidRequestError:
    return InvalidRequestError(f"the field '{name}' stands twice", parameter=name)
