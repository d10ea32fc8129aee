"""A models.yaml as read: sound entries, broken ones with their reasons, and the rest."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from server.domain.images import ModelId
from server.registry.nodes import Document, Path, Value, YamlFormError, read
from server.registry.schema import Head, ModelEntry

_ID = TypeAdapter(ModelId)
_EMPTY = Document(None, {}, ())


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file that people can open."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class BrokenEntry:
    """An entry, or a whole file, that cannot be used; `reason` names file, line and remedy."""

    id: str
    reason: str
    where: Where


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """A well-formed entry with the lines it was read from."""

    entry: ModelEntry
    where: Where
    document: Document
    path: Path

    def place(self, inside: Path) -> Where:
        """Return where the key at `inside` stands."""
        return replace(self.where, line=self.document.line((*self.path, *inside)))

    def broken(self, complaints: list[tuple[Path, str]]) -> BrokenEntry:
        """Return this entry as broken."""
        parts = [f"{self.place(at)}: {said}" for at, said in complaints]
        return BrokenEntry(
            self.entry.id, _reason(self.entry.id, parts), self.place(complaints[0][0])
        )


@dataclass(frozen=True, slots=True)
class ModelsFile:
    """One file, read; never half an entry."""

    name: str
    head: Head = field(default_factory=Head)
    entries: tuple[FoundEntry, ...] = ()
    broken: tuple[BrokenEntry, ...] = ()
    document: Document = _EMPTY

    def broken_head(self, path: Path, detail: str) -> BrokenEntry:
        """Return a mistake at the top level, outside of the models."""
        where = Where(self.name, self.document.line(path))
        return BrokenEntry(file_id(self.name), f"{where}: {detail}", where)


def read_file(path: FilePath, name: str, *, required: bool) -> ModelsFile:
    """Return what is in the file at `path`; whatever is wrong with it is in `broken`.

    Args:
        path: the file.
        name: how messages call it, never a path of this machine.
        required: a missing file is broken, not empty.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        gone = "the file is missing; restore it, or set GREENROOM_MODELS to another"
        return _whole(name, 1, gone) if required else ModelsFile(name)
    except OSError as error:
        return _whole(name, 1, f"the file cannot be read ({error.strerror}); check its rights")
    return parse(data, name)


def parse(data: bytes, name: str) -> ModelsFile:
    """Return what is in a file's bytes; never raises."""
    try:
        document = read(data)
    except YamlFormError as error:
        return _whole(name, error.line, error.detail)
    value = {} if document.value is None else document.value
    if not isinstance(value, dict):
        return _whole(name, 1, "the file must be keys and values; begin with `models:`")
    head, broken = _head(document, value, name)
    entries: list[FoundEntry] = []
    for index, raw in enumerate(_models(document, value, name, broken)):
        found = _entry(document, raw, ("models", index), name)
        if isinstance(found, FoundEntry):
            entries.append(found)
        else:
            broken.append(found)
    return ModelsFile(name, head, tuple(entries), tuple(broken), document)


def file_id(name: str) -> str:
    """Return the id under which a file as a whole stands in lists."""
    return re.sub(r"[^a-z0-9._-]", "-", name.lower())


def _whole(name: str, line: int, detail: str) -> ModelsFile:
    where = Where(name, line)
    return ModelsFile(name, broken=(BrokenEntry(file_id(name), f"{where}: {detail}", where),))


def _models(
    document: Document, value: Mapping[str, Value], name: str, broken: list[BrokenEntry]
) -> list[Value]:
    models = value.get("models")
    if models is None or isinstance(models, list):
        return models or []
    where = Where(name, document.line(("models",)))
    detail = "models must be a list; begin each entry with `-`"
    broken.append(BrokenEntry(file_id(name), f"{where}: {detail}", where))
    return []


def _head(
    document: Document, value: Mapping[str, Value], name: str
) -> tuple[Head, list[BrokenEntry]]:
    """Read each top-level key by itself, so that one mistake leaves the others."""
    sound: dict[str, object] = {}
    broken: list[BrokenEntry] = []
    for key in value:
        if key == "models":
            continue
        said = list(_troubles(document, (key,), name)) or list(
            _complaints(Head, {key: value[key]}, document, (), name)
        )
        if not said:
            sound[key] = value[key]
            continue
        where = Where(name, document.line((key,)))
        broken.append(BrokenEntry(file_id(name), "; ".join(said), where))
    return Head.model_validate_json(json.dumps(sound)), broken


def _entry(document: Document, raw: Value, path: Path, name: str) -> FoundEntry | BrokenEntry:
    where = Where(name, document.line(path))
    model_id = _id(raw) or f"entry-{int(path[1]) + 1}"
    if not isinstance(raw, dict):
        said = [*_troubles(document, path, name)]
        said = said or [f"{where}: an entry is keys and values; begin it with `- id: NAME`"]
        return BrokenEntry(model_id, _reason(model_id, said), where)
    said = [*_troubles(document, path, name), *_complaints(ModelEntry, raw, document, path, name)]
    if said:
        return BrokenEntry(model_id, _reason(model_id, said), where)
    return FoundEntry(ModelEntry.model_validate_json(json.dumps(raw)), where, document, path)


def _id(raw: Value) -> str | None:
    if not isinstance(raw, dict):
        return None
    try:
        return _ID.validate_python(raw.get("id"))
    except ValidationError:
        return None


def _reason(model_id: str, said: list[str]) -> str:
    return f"entry '{model_id}': " + "; ".join(said)


def _troubles(document: Document, path: Path, name: str) -> Iterator[str]:
    for trouble in document.troubles:
        if trouble.path[: len(path)] == path:
            yield f"{Where(name, trouble.line)}: {trouble.detail}"


def _complaints(
    kind: type[BaseModel], raw: object, document: Document, path: Path, name: str
) -> Iterator[str]:
    """Yield what pydantic finds, in our words and with lines."""
    try:
        # Through JSON, where strict mode still takes a list for a tuple.
        kind.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        said: dict[Path, str] = {}
        for problem in error.errors(include_url=False):
            place = _place(raw, problem)
            # Of a choice of types pydantic tells every miss; the last is the richest form.
            said[place] = f"{Where(name, document.line((*path, *place)))}: " + _said(
                kind, problem, place
            )
        yield from said.values()


def _place(raw: object, problem: ErrorDetails) -> Path:
    """Return where in the file pydantic means, without the names of types that it puts between."""
    place: list[str | int] = []
    for step in problem["loc"]:
        if isinstance(raw, dict) and (step in raw or problem["type"] == "missing"):
            raw = raw.get(step)
        elif isinstance(raw, list) and isinstance(step, int) and step < len(raw):
            raw = raw[step]
        else:
            break
        place.append(step)
    return tuple(place)


def _said(kind: type[BaseModel], problem: ErrorDetails, place: Path) -> str:
    key = ".".join(map(str, place))
    match problem["type"]:
        case "extra_forbidden":
            known = _keys(kind, place[:-1])
            near = difflib.get_close_matches(str(place[-1]), known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            return f"unknown key '{key}'; {hint}"
        case "missing":
            return f"key '{key}' is missing; add it"
        case _:
            value = _short(problem["input"])
            wanted = problem["msg"].removeprefix("Input ").removeprefix("Value ")
            return f"'{key}' is {value}, but {wanted[:1].lower()}{wanted[1:]}; change it"


def _short(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _keys(kind: type[BaseModel], place: Path) -> list[str]:
    """Return the keys that the model at `place` inside `kind` knows."""
    for step in place:
        declared = kind.model_fields.get(str(step))
        if declared is not None:
            kind = next(_models_in(declared.annotation), kind)
    return list(kind.model_fields)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
