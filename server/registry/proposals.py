"""A new entry from little: a hub repo, a file or a folder that somebody wants to draw with."""

from __future__ import annotations

import json
import re
from pathlib import Path

from server.domain.errors import RegistryError
from server.registry.families import PIPELINES, kind_of
from server.registry.overlay import Fields
from server.registry.places import OutsideError, Places
from server.registry.safetensors import WeightsError, read_header

_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_SIZES: dict[str, Fields] = {
    "sdxl": {"1:1": "1024x1024", "4:3": "1152x896", "3:4": "896x1152", "16:9": "1344x768"},
    "flux": {"1:1": "1024x1024", "4:3": "1184x880", "3:4": "880x1184", "16:9": "1392x752"},
}


def from_hub(repo: str, family: str, *, task: str = "text", file: str | None = None) -> Fields:
    """Return an entry for a hub repo, of which `pin` must say the commit.

    Args:
        repo: owner/name.
        family: sdxl or flux.
        task: text, fill or edit; what the repo's model_index.json will have to confirm.
        file: one SDXL checkpoint of the repo; None: the whole diffusers pipeline.

    Raises:
        RegistryError: it is no name of a repo, or there is no such family or task.
    """
    if not _REPO.fullmatch(repo):
        raise RegistryError(f"'{repo}' is no hub repo; write it as owner/name")
    source: Fields = {"hub": repo, "revision": None}
    if file is not None:
        source["file"] = file
    return _entry(repo.rsplit("/", 1)[-1], family, source, task=task)


def from_url(url: str, sha256: str) -> Fields:
    """Return an entry for an SDXL checkpoint at an address."""
    name = url.rsplit("/", 1)[-1].split("?")[0]
    return _entry(Path(name).stem, "sdxl", {"url": url, "sha256": sha256})


def from_path(path: Path, written: str | None = None) -> Fields:
    """Return an entry for an SDXL checkpoint or a diffusers folder on this machine.

    Args:
        path: where it is.
        written: how models.yaml names it; None: by its whole path.

    Raises:
        RegistryError: it is not there, or neither of the two.
    """
    if path.is_dir():
        family, task = _kind(path)
        return _entry(path.name, family, {"folder": written or str(path.resolve())}, task=task)
    try:
        header = read_header(path)
    except FileNotFoundError as error:
        raise RegistryError(f"there is no '{path.name}'; check its name") from error
    except WeightsError as error:
        raise RegistryError(f"'{path.name}': {error}") from error
    except OSError as error:
        raise RegistryError(f"'{path.name}' cannot be read: {error.strerror}") from error
    if not header.is_sdxl_checkpoint:
        raise RegistryError(
            f"'{path.name}' is no SDXL checkpoint with its original key names; "
            "for diffusers weights add the whole folder"
        )
    return _entry(path.stem, "sdxl", {"single_file": written or str(path.resolve())})


def from_name(models_dir: Path, name: str) -> Fields:
    """Return an entry for what lies at `name` in the models' folder, the only one HTTP may name.

    Raises:
        RegistryError: it leads out of the folder, is not there, or is no model.
    """
    if Path(name).is_absolute() or name.startswith("~"):
        raise RegistryError(f"'{name}' is a path; give a name inside the models' folder")
    try:
        path = Places.inside(models_dir, name)
    except OutsideError as error:
        raise RegistryError(str(error)) from error
    return from_path(path, written=name)


def model_id(name: str) -> str:
    """Return `name` as an id: small letters, digits, dots and dashes."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")
    return plain[:64] or "model"


def _entry(name: str, family: str, source: Fields, *, task: str = "text") -> Fields:
    if family not in _SIZES:
        raise RegistryError(f"there is no family '{family}'; use sdxl or flux")
    if task not in PIPELINES[family]:
        known = ", ".join(PIPELINES[family])
        raise RegistryError(f"{family} has no models of task '{task}'; it has {known}")
    return {
        "id": model_id(name),
        "name": name[:600],
        "family": family,
        **({} if task == "text" else {"task": task}),
        "source": source,
        "licence": "unknown",
        "gated": False,
        "description": "Added here; edit models.yaml in the data folder to describe it.",
        "sizes": dict(_SIZES[family]),
    }


def _kind(folder: Path) -> tuple[str, str]:
    """Return family and task, as the folder's own model_index.json names them."""
    try:
        index = json.loads((folder / "model_index.json").read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RegistryError(
            f"'{folder.name}' has no readable model_index.json, so it is no diffusers pipeline"
        ) from error
    name = index.get("_class_name") if isinstance(index, dict) else None
    kind = kind_of(name) if isinstance(name, str) else None
    if kind is None:
        raise RegistryError(
            f"'{folder.name}' holds a {name}; only SDXL and FLUX.1 that draw, repaint or edit "
            "are drawn with"
        )
    return kind
