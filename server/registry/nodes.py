"""YAML as plain values that remember their lines; harmless whatever the text is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

MAX_BYTES = 512 * 1024
_MAX_DEPTH = 10
_MAX_DIGITS = 30

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
Path = tuple[str | int, ...]

# YAML 1.2's core rules. YAML 1.1, PyYAML's own, reads `no` as false and 16:9 as 969.
_WORDS: Mapping[str, Value] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_INTEGER = re.compile(rf"[-+]?[0-9]{{1,{_MAX_DIGITS}}}")
_FLOAT = re.compile(rf"[-+]?(\.[0-9]+|[0-9]{{1,{_MAX_DIGITS}}}(\.[0-9]*)?)([eE][-+]?[0-9]{{1,3}})?")
_PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str")


class YamlFormError(Exception):
    """The text is no YAML that we read; `line` counts from 1."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(detail)
        self.line = line
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong at one place, while the rest of the document is sound."""

    path: Path
    line: int
    detail: str


@dataclass(frozen=True, slots=True)
class Document:
    """A read document: its value, the line of every value, and what was wrong in places."""

    value: Value
    lines: Mapping[Path, int]
    troubles: tuple[Trouble, ...]

    def line(self, path: Path) -> int:
        """Return the line of `path`, or of the nearest thing around it that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(data: bytes) -> Document:
    """Return `data` as values with their lines.

    Aliases are troubles, not copies, so a small text cannot grow into a large value.

    Raises:
        YamlFormError: it is too large, no UTF-8, no YAML or nested too deeply.
    """
    if len(data) > MAX_BYTES:
        raise YamlFormError(1, f"the file has more than {MAX_BYTES // 1024} KiB; make it smaller")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlFormError(line, "this is no UTF-8 text; save the file as UTF-8") from error
    try:
        return _Reader(text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # At the end of the text libyaml counts a line that is not there.
        line = 1 if mark is None else min(mark.line, text.count("\n")) + 1
        raise YamlFormError(line, f"this is no YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlFormError(line, "this is no YAML: a letter that may not stand here") from error


@dataclass(slots=True)
class _Reader:
    text: str
    lines: dict[Path, int] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)

    def document(self) -> Document:
        # libyaml's parser where PyYAML was built with it: fifty times as fast.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        events: Iterator[yaml.Event] = iter(yaml.parse(self.text, Loader=loader))
        value: Value = None
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                if value is not None:
                    raise YamlFormError(_line(event), "a second document begins; keep to one")
                value = self._node(event, events, ())
        return Document(value, self.lines, tuple(self.troubles))

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], path: Path) -> Value:
        if len(path) > _MAX_DEPTH:
            raise YamlFormError(_line(event), f"more than {_MAX_DEPTH} levels deep; flatten it")
        self.lines.setdefault(path, _line(event))
        if isinstance(event, yaml.AliasEvent):
            self._wrong(path, event, "anchors and aliases are not read; write the value out")
            return None
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        raise YamlFormError(_line(event), "this is no YAML: a value is missing")

    def _sequence(self, events: Iterator[yaml.Event], path: Path) -> list[Value]:
        items: list[Value] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[yaml.Event], path: Path) -> dict[str, Value]:
        fields: dict[str, Value] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event, events, path)
            inside = (*path, key)
            if key in fields:
                self._wrong(inside, event, f"key '{key}' stands here twice; remove one")
            else:
                self.lines[inside] = _line(event)
            value = self._node(next(events), events, inside)
            fields.setdefault(key, value)
        return fields

    def _key(self, event: yaml.Event, events: Iterator[yaml.Event], path: Path) -> str:
        if isinstance(event, yaml.ScalarEvent):
            return str(event.value)
        self._node(event, events, (*path, "?"))
        self._wrong(path, event, "a key must be a word")
        return "?"

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Value:
        text: str = event.value
        if event.tag not in _PLAIN_TAGS:
            self._wrong(path, event, f"the tag {event.tag} is not read; write a plain value")
            return None
        return text if event.style or event.tag else plain(text)

    def _wrong(self, path: Path, event: yaml.Event, detail: str) -> None:
        self.troubles.append(Trouble(path, _line(event), detail))


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else mark.line + 1


def plain(text: str) -> Value:
    """Return what an unquoted word means."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
