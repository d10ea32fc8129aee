"""The form of models.yaml, key by key; what keys mean together is checked in `rules`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from server.domain.images import Frozen, ModelId

Repo = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$"),
]
Words = Annotated[str, StringConstraints(min_length=1, max_length=600)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Pixels = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{1,3}x[1-9]\d{1,3}$")]
Shape = Annotated[str, StringConstraints(pattern=r"^[1-9]\d?:[1-9]\d?$")]
ProfileName = Literal["exact", "memory", "fast"]
Sizes = Annotated[dict[Shape, Pixels], Field(min_length=1)]


class Strict(Frozen):
    """A part of the file: unknown keys and wrong types are errors, nothing is converted."""

    model_config = ConfigDict(strict=True)


class SourceEntry(Strict):
    """Where weights come from; exactly one of hub, url, folder, single_file, bundled, random."""

    hub: Repo | None = None
    revision: str | None = None
    file: Name | None = None
    variant: Literal["fp16"] | None = None
    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000)] | None = None
    sha256: str | None = None
    folder: Name | None = None
    single_file: Name | None = None
    bundled: Name | None = None
    random: Literal["sdxl", "flux"] | None = None
    config: Name | None = None


class PartEntry(Strict):
    """Weights on top of the base: `unet` replaces it, `adapter` is fused with `weight`."""

    kind: Literal["unet", "adapter"]
    source: SourceEntry
    weight: float = Field(default=1.0, gt=0, le=2)


class StyleEntry(Strict):
    """Words put around a prompt."""

    name: Words
    prompt: Annotated[str, StringConstraints(pattern=r"\{prompt\}", max_length=600)]
    negative_prompt: Annotated[str, StringConstraints(max_length=600)] = ""


class ModelEntry(Strict):
    """One model as models.yaml says it."""

    id: ModelId
    name: Words
    family: Literal["sdxl", "flux", "remote"]
    task: Literal["text", "fill", "edit"] = "text"
    source: SourceEntry | None = None
    base: ModelId | None = None
    parts: tuple[PartEntry, ...] = ()
    licence: Words
    gated: bool
    needs_vram_gib: float | None = Field(default=None, gt=0)
    description: Words
    specialties: tuple[Words, ...] = ()
    defaults: dict[str, int | float | str] = Field(default_factory=dict)
    limits: dict[str, tuple[float, float]] = Field(default_factory=dict)
    without: tuple[str, ...] = ()
    schedulers: tuple[str, ...] | None = None
    profiles: Annotated[tuple[ProfileName, ...], Field(min_length=1)] = (
        "exact",
        "memory",
        "fast",
    )
    sizes: str | Sizes
    styles: tuple[str, ...] = ()
    size_multiple: int | None = Field(default=None, ge=8, le=128, multiple_of=8)
    max_pixels: int = Field(default=2048 * 1024, ge=256, le=4096 * 4096)
    demonstration: bool = False
    unsupported: Words | None = None
    fallback: tuple[ModelId, ...] = ()

    def sources(self) -> tuple[SourceEntry, ...]:
        """Return the entry's own sources, its parts' included, its base's not."""
        own = () if self.source is None else (self.source,)
        return (*own, *(part.source for part in self.parts))


class Head(Strict):
    """The top level of a file without its models."""

    default: ModelId | None = None
    aliases: dict[ModelId, ModelId] = Field(default_factory=dict)
    sizes: dict[str, Sizes] = Field(default_factory=dict)
    styles: dict[str, StyleEntry] = Field(default_factory=dict)
    pins: dict[Repo, str] = Field(default_factory=dict)
    removed: tuple[ModelId, ...] = ()
