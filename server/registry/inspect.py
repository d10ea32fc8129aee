"""Whether the files of a source are here and sound; reads headers only, and only when changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from server.domain.models import ModelState
from server.registry import manifest
from server.registry.families import PIPELINES, kind_of
from server.registry.places import SDXL_CONFIG, OutsideError, Places
from server.registry.rules import source_kind
from server.registry.safetensors import Header, WeightsError, fingerprint, read_header
from server.registry.schema import SourceEntry

_LIBRARIES = ("diffusers", "transformers", None)
_MAX_JSON_BYTES = 2**20
_LOCAL = ("folder", "single_file", "bundled")

Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a source. `path`, `config` and `fingerprint` are set when it is ready."""

    state: ModelState
    reason: str | None = None
    path: Path | None = None
    config: Path | None = None
    fingerprint: str = ""

    @property
    def is_single_file(self) -> bool:
        """Whether it is one file, not a diffusers folder."""
        return self.path is not None and self.path.suffix == ".safetensors"


class Inspector:
    """Looks at sources and remembers what it saw until a file's size or time changes."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._seen: dict[tuple[Path, str, str], tuple[Signature, Found]] = {}

    def look(
        self, source: SourceEntry, family: str, task: str = "text", *, is_part: bool = False
    ) -> Found:
        """Return how `source` stands as a model of `family` and `task`, or as a part of one.

        Never raises for what lies on disk.
        """
        if source.hub is not None and source.revision is None:
            return Found(ModelState.UNPINNED, f"no commit of '{source.hub}' is pinned yet")
        try:
            path = self._places.of(source)
        except OutsideError as error:
            return _broken(str(error))
        kind = source_kind(source)
        if kind in ("hub", "url"):
            pulled = self._pulled(source, path)
            if pulled is not None:
                return pulled
        if not path.exists():
            return _absent(source, kind)
        found = self._sound(path, family, task, is_part=is_part)
        if found.state is not ModelState.READY or not found.is_single_file or is_part:
            return found
        return self._configured(source, found)

    def forget(self, path: Path) -> None:
        """Look afresh at `path` next time."""
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] != path}

    def _pulled(self, source: SourceEntry, path: Path) -> Found | None:
        known = manifest.load(path)
        if known is None:
            return Found(ModelState.MISSING, "its files are not here yet")
        gone = manifest.missing(path, known)
        if gone is not None:
            return Found(ModelState.MISSING, f"'{gone}' is gone or was cut off")
        return None

    def _sound(self, path: Path, family: str, task: str, *, is_part: bool) -> Found:
        key = path, family, task
        try:
            signature = _signature(path)
            known = self._seen.get(key)
            if known is None or known[0] != signature:
                is_file = path.is_file()
                found = _file(path, is_part=is_part) if is_file else _folder(path, family, task)
                self._seen[key] = known = (signature, found)
        except OSError as error:
            return _broken(f"its files cannot be read ({error.strerror}); check their rights")
        return known[1]

    def _configured(self, source: SourceEntry, found: Found) -> Found:
        """Add the folder of config JSON that a single file needs."""
        try:
            config = self._places.local(source.config) if source.config else SDXL_CONFIG
        except OutsideError as error:
            return _broken(str(error))
        for name in ("model_index.json", "tokenizer", "tokenizer_2", "unet/config.json"):
            if not (config / name).exists():
                return _broken(
                    f"the config folder has no '{name}'; remove `config` to use SDXL's own"
                )
        wrong = _index_is_wrong(config, "sdxl", "text")
        if wrong is not None:
            return _broken(f"the config folder: {wrong}")
        return Found(found.state, None, found.path, config, found.fingerprint)


def _broken(reason: str) -> Found:
    return Found(ModelState.BROKEN, reason)


def _absent(source: SourceEntry, kind: str) -> Found:
    if kind in _LOCAL:
        name = source.folder or source.single_file or source.bundled
        return _broken(f"there is no '{Path(str(name)).name}'; put it there or remove the entry")
    return Found(ModelState.MISSING, "its files are not here yet")


def _file(path: Path, *, is_part: bool) -> Found:
    try:
        header = read_header(path)
    except WeightsError as error:
        return _broken(f"'{path.name}': {error}")
    if not is_part and not header.is_sdxl_checkpoint:
        return _broken(
            f"'{path.name}' is no SDXL checkpoint with its original key names (none begins with "
            "conditioner.embedders.1.); for diffusers weights add the whole folder"
        )
    return Found(ModelState.READY, None, path, None, fingerprint(path, header))


def _folder(path: Path, family: str, task: str) -> Found:
    wrong = _index_is_wrong(path, family, task)
    if wrong is not None:
        return _broken(wrong)
    files = _weights(path)
    mark = hashlib.sha256()
    for file in files:
        try:
            header: Header = read_header(file)
        except WeightsError as error:
            return _broken(f"'{file.relative_to(path)}': {error}")
        mark.update(f"{file.relative_to(path)} {fingerprint(file, header)}\n".encode())
    folders = {file.parent.name for file in files}
    lacks = [name for name in _needs(family) if name not in folders]
    if lacks:
        return _broken(f"the folder has no .safetensors in '{lacks[0]}'; only those are read")
    return Found(ModelState.READY, None, path, None, mark.hexdigest())


def _needs(family: str) -> tuple[str, ...]:
    denoiser = "unet" if family == "sdxl" else "transformer"
    return denoiser, "vae", "text_encoder", "text_encoder_2"


def _index_is_wrong(path: Path, family: str, task: str) -> str | None:
    """Return why model_index.json names something else than a pipeline of family and task."""
    try:
        with (path / "model_index.json").open("rb") as file:
            index = json.loads(file.read(_MAX_JSON_BYTES))
    except FileNotFoundError:
        return "the folder has no model_index.json, so it is no diffusers pipeline"
    except (ValueError, RecursionError):
        return "its model_index.json is damaged; fetch it again"
    name = index.get("_class_name") if isinstance(index, dict) else None
    if name not in PIPELINES[family][task]:
        return f"it holds a {name}, not a {PIPELINES[family][task][0]}; {_right_words(name)}"
    for name, parts in index.items():
        if isinstance(parts, list) and parts and parts[0] not in _LIBRARIES:
            return f"its '{name}' needs code of its own ({parts[0]}), which is never run"
    return None


def _right_words(pipeline: object) -> str:
    kind = kind_of(pipeline) if isinstance(pipeline, str) else None
    if kind is None:
        return "nothing here draws with it, so remove the entry"
    return f"write `family: {kind[0]}` and `task: {kind[1]}` in the entry"


def _weights(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.glob("*/*.safetensors") if file.is_file())


def _signature(path: Path) -> Signature:
    files = [path] if path.is_file() else [path / "model_index.json", *_weights(path)]
    stats = ((str(file), file.stat()) for file in files if file.exists())
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
