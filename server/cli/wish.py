"""What a person asked `greenroom generate` for, before any of it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Wish:
    """Options as typed; `options` holds those that go into an ImageRequest, by its names."""

    options: Mapping[str, object]
    output: Path | None
    file_format: str | None
    image: Path | None
    mask: Path | None
    references: tuple[Path, ...]
    recipe: Path | None
    server: str | None
    key: str | None
    force: bool
