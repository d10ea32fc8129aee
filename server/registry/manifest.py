"""The list of files that a pull fetched: written last, so that its presence means all are there."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from server.domain.images import Frozen
from server.registry.disk import write_whole
from server.registry.safetensors import WeightsError, read_header

_NAME = ".greenroom.json"


class PulledFile(Frozen):
    """One file of a pull, relative to its folder."""

    path: str
    size_bytes: int
    sha256: str


class Manifest(Frozen):
    """All files of one pull."""

    origin: str  # such as owner/name@commit
    files: tuple[PulledFile, ...]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)


def load(target: Path) -> Manifest | None:
    """Return the manifest of a pulled file or folder; None where there is none to trust."""
    try:
        return Manifest.model_validate_json(_path(target).read_bytes())
    except (OSError, ValidationError):
        return None


def save(target: Path, manifest: Manifest) -> None:
    """Write the manifest of a pulled file or folder, whole or not at all."""
    write_whole(_path(target), manifest.model_dump_json(indent=1).encode())


def forget(target: Path) -> None:
    """Remove the manifest, so that the files count as not pulled."""
    _path(target).unlink(missing_ok=True)


def missing(target: Path, manifest: Manifest) -> str | None:
    """Return the first file that is gone or has another size; None when all are there."""
    folder = target if _is_folder(target) else target.parent
    for file in manifest.files:
        try:
            if (folder / file.path).stat().st_size != file.size_bytes:
                return file.path
        except OSError:
            return file.path
    return None


def damaged(target: Path) -> list[str]:
    """Read everything at `target` and return what is wrong, one line each.

    Pulled files are compared with their checksums; others only by their headers.
    """
    known = load(target)
    if known is None:
        return [f"{file.name}: {said}" for file in _weights(target) if (said := _unsound(file))]
    folder = target if _is_folder(target) else target.parent
    wrong: list[str] = []
    for file in known.files:
        try:
            with (folder / file.path).open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            wrong.append(f"{file.path}: {error.strerror}")
            continue
        if digest != file.sha256:
            wrong.append(f"{file.path}: its checksum is wrong; remove the model and pull again")
    return wrong


def _weights(target: Path) -> list[Path]:
    return [target] if target.is_file() else sorted(target.glob("*/*.safetensors"))


def _unsound(file: Path) -> str | None:
    try:
        read_header(file)
    except (WeightsError, OSError) as error:
        return str(error) if isinstance(error, WeightsError) else error.strerror
    return None


def _path(target: Path) -> Path:
    return target / _NAME if _is_folder(target) else target.with_name(target.name + _NAME)


def _is_folder(target: Path) -> bool:
    return target.suffix != ".safetensors"
