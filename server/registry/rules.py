"""What the keys of an entry must mean together; each complaint names its key and a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from server.registry.families import PARAMETERS, SCHEDULERS, Known
from server.registry.nodes import Path
from server.registry.parameters import size, size_multiple
from server.registry.schema import ModelEntry, Sizes, SourceEntry, StyleEntry

Complaint = tuple[Path, str]

KINDS = ("hub", "url", "folder", "single_file", "bundled", "random")
PICKLED = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle")
_BELONGS = {
    "revision": ("hub",),
    "file": ("hub",),
    "variant": ("hub",),
    "sha256": ("url",),
    "config": ("hub", "url", "single_file"),
}
_PICTURED = ("image", "images", "outpaint", "pair", "adapters")
_RANGED = ("integer", "number", "images")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def complaints(
    entry: ModelEntry, sizes: Mapping[str, Sizes], styles: Mapping[str, StyleEntry]
) -> Iterator[Complaint]:
    """Yield what is wrong with `entry`, as (key, what and remedy)."""
    if entry.family == "remote":
        yield (
            ("family",),
            "remote models come with connections, which this version lacks; use sdxl or flux",
        )
        return
    if entry.task not in PARAMETERS[entry.family]:
        yield (
            ("task",),
            f"{entry.family} has no models of task {entry.task}; "
            f"it has {_list(tuple(PARAMETERS[entry.family]))}",
        )
        return
    yield from _origin(entry)
    yield from _values(entry)
    yield from _sizes(entry, sizes)
    for index, name in enumerate(entry.styles):
        if name not in styles:
            yield ("styles", index), f"there is no style '{name}'; known: {_list(styles)}"


def source_kind(source: SourceEntry) -> str:
    """Return which of KINDS a checked source is."""
    return next(kind for kind in KINDS if getattr(source, kind) is not None)


def is_commit(revision: str) -> bool:
    """Return whether `revision` is a whole commit hash, the only kind that stays the same."""
    return _COMMIT.fullmatch(revision) is not None


def _origin(entry: ModelEntry) -> Iterator[Complaint]:
    if entry.source is None and entry.base is None:
        yield (), "it has no source; add `source: {hub: owner/name, revision: null}`"
    if entry.source is not None and entry.base is not None:
        yield ("base",), "it has a base and a source; keep one (parts go on top of a base)"
    if entry.base is not None and not entry.parts:
        yield ("base",), "a base without parts is the base itself; add parts or remove the entry"
    if entry.source is not None:
        yield from _source(entry.source, ("source",), is_part=False)
        if entry.source.random not in (None, entry.family):
            yield ("source", "random"), f"random must be the entry's own family, {entry.family}"
        if entry.family == "flux" and _is_one_file(entry.source):
            yield ("source",), "a FLUX.1 single file is not read; use a hub repo or a folder"
        elif entry.task != "text":
            yield from _beyond_text(entry.source, entry.task)
    for index, part in enumerate(entry.parts):
        yield from _source(part.source, ("parts", index, "source"), is_part=True)
        if part.kind == "unet" and entry.family == "flux":
            yield ("parts", index, "kind"), "FLUX.1 has no unet; use kind: adapter"


def _beyond_text(source: SourceEntry, task: str) -> Iterator[Complaint]:
    if source.random:
        yield ("source", "random"), "random weights draw from words only; remove `task`"
    if _is_one_file(source):
        yield ("source",), f"a single file of task {task} is not read; use a hub repo or a folder"


def _is_one_file(source: SourceEntry) -> bool:
    return bool(source.single_file or source.url or source.file)


def _source(source: SourceEntry, path: Path, *, is_part: bool) -> Iterator[Complaint]:
    kinds = [kind for kind in KINDS if getattr(source, kind) is not None]
    if len(kinds) != 1:
        said = " and ".join(kinds) or "none"
        yield path, f"a source is exactly one of {_list(KINDS)}; this one has {said}"
        return
    for key, owners in _BELONGS.items():
        if getattr(source, key) is not None and kinds[0] not in owners:
            yield (*path, key), f"'{key}' belongs to {_list(owners)}, not {kinds[0]}; remove it"
    yield from _pinned(source, path)
    yield from _file_names(source, path)
    if is_part and kinds[0] in ("folder", "random"):
        yield (*path, kinds[0]), "a part is one file; use hub with file, url or single_file"
    if is_part and source.hub and not source.file:
        yield (*path, "hub"), "a part is one file of the repo; add `file: name.safetensors`"


def _pinned(source: SourceEntry, path: Path) -> Iterator[Complaint]:
    if source.revision is not None and not is_commit(source.revision):
        yield (
            (*path, "revision"),
            f"revision '{source.revision}' is no whole commit hash, so it may change; write its "
            "40 letters, or null and run `greenroom models pin ID`",
        )
    if source.url and not source.sha256:
        yield (*path, "url"), "a url needs its sha256, so that the file cannot change; add it"
    if source.sha256 is not None and not _SHA256.fullmatch(source.sha256):
        yield (*path, "sha256"), "a sha256 has 64 letters of 0-9 and a-f; run `sha256sum FILE`"


def _file_names(source: SourceEntry, path: Path) -> Iterator[Complaint]:
    for key in ("file", "url", "single_file", "folder", "bundled"):
        value = getattr(source, key)
        if value is None:
            continue
        name = urlsplit(value).path if key == "url" else value
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in PICKLED:
            yield (
                (*path, key),
                f"'{suffix}' files are pickles, which can run code when opened; "
                "use a .safetensors file",
            )
        elif key in ("file", "url", "single_file") and suffix != ".safetensors":
            yield (*path, key), f"'{name}' is no .safetensors file; only those are read"
        if key in ("file", "bundled") and not _stays_inside(name):
            yield (*path, key), f"'{name}' leads out of its folder; name a file inside it"


def _stays_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return ".." not in parts and not name.startswith("/") and "\\" not in name and "\0" not in name


def _values(entry: ModelEntry) -> Iterator[Complaint]:
    known = PARAMETERS[entry.family][entry.task]
    for key, names in (
        ("defaults", entry.defaults),
        ("limits", entry.limits),
        ("without", entry.without),
    ):
        for index, name in enumerate(names):
            if name not in known:
                place = (key, index) if key == "without" else (key, name)
                kind = entry.family if entry.task == "text" else f"{entry.family} {entry.task}"
                yield place, f"{kind} has no parameter '{name}'; known: {_list(known)}"
    offered = entry.schedulers or SCHEDULERS[entry.family]
    for index, name in enumerate(offered):
        if name not in SCHEDULERS[entry.family]:
            have = _list(SCHEDULERS[entry.family])
            yield ("schedulers", index), f"there is no scheduler '{name}'; known: {have}"
    for name, value in entry.defaults.items():
        if name in known:
            yield from _default(entry, name, value, known[name], offered)
    yield from _limits(entry, known)


def _limits(entry: ModelEntry, known: Mapping[str, Known]) -> Iterator[Complaint]:
    for name, (low, high) in entry.limits.items():
        if low > high:
            yield ("limits", name), f"{low:g} is above {high:g}; write the smaller one first"
        if name in known and known[name].type not in _RANGED:
            yield ("limits", name), f"'{name}' is no number, so it has no limits; remove them"


def _default(
    entry: ModelEntry,
    name: str,
    value: float | str,
    known: Known,
    offered: tuple[str, ...],
) -> Iterator[Complaint]:
    place = ("defaults", name)
    if name in entry.without:
        yield place, f"'{name}' also stands in without; remove it from one of the two"
    elif name == "profile":
        yield place, "the default is the first of profiles; write it there"
    elif known.type == "choice":
        if value not in offered:
            yield place, f"there is no scheduler '{value}' here; offered: {_list(offered)}"
    elif known.type in _PICTURED:
        yield place, f"'{name}' belongs to one picture and has no default; remove it"
    elif known.type == "string":
        if not isinstance(value, str):
            yield place, f"{value} should be words; put them in quotes"
    elif isinstance(value, str) or (known.type == "integer" and not isinstance(value, int)):
        what = "a whole number" if known.type == "integer" else "a number"
        yield place, f"{value!r} should be {what}"
    else:
        low, high = entry.limits.get(name, (known.minimum, known.maximum))
        if (low is not None and value < low) or (high is not None and value > high):
            yield place, f"{value:g} is outside {low:g} to {high:g}; change it or the limits"


def _sizes(entry: ModelEntry, sizes: Mapping[str, Sizes]) -> Iterator[Complaint]:
    if isinstance(entry.sizes, str) and entry.sizes not in sizes:
        yield ("sizes",), f"there is no set of sizes '{entry.sizes}'; known: {_list(sizes)}"
        return
    chosen = sizes[entry.sizes] if isinstance(entry.sizes, str) else entry.sizes
    multiple = size_multiple(entry)
    for shape, pixels in chosen.items():
        place = ("sizes",) if isinstance(entry.sizes, str) else ("sizes", shape)
        try:
            value = size(shape, pixels)
        except ValueError:
            yield place, f"{pixels} is no size; use multiples of {multiple} from 16 to 4096"
            continue
        if value.width % multiple or value.height % multiple:
            yield place, f"{pixels} is not in multiples of {multiple}, which the model needs"
        if value.width * value.height > entry.max_pixels:
            yield place, f"{pixels} has more than max_pixels {entry.max_pixels}; change one"


def _list(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
