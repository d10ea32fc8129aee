"""From an entry of models.yaml to what a model declares about itself."""

from __future__ import annotations

from collections.abc import Mapping

from server.domain.images import ParameterValue
from server.domain.models import (
    Family,
    ModelInfo,
    ParameterInfo,
    Size,
    Style,
    Task,
)
from server.registry.families import OWN_SCHEDULER, PARAMETERS, SCHEDULERS, SIZE_MULTIPLE, Known
from server.registry.schema import ModelEntry, Sizes, StyleEntry

_OF_GUIDANCE = (
    "guidance_rescale",
    "negative_original_size",
    "negative_crops_coords_top_left",
    "negative_target_size",
)


def model_info(
    entry: ModelEntry, sizes: Mapping[str, Sizes], styles: Mapping[str, StyleEntry]
) -> ModelInfo:
    """Return what `entry` declares.

    Args:
        entry: one that `rules.complaints` finds nothing wrong with.
        sizes: the file's named sets of sizes.
        styles: the file's styles by id.
    """
    chosen = sizes[entry.sizes] if isinstance(entry.sizes, str) else entry.sizes
    return ModelInfo(
        id=entry.id,
        name=entry.name,
        family=Family(entry.family),
        task=Task(entry.task),
        provider="local",
        description=entry.description,
        specialties=entry.specialties,
        licence=entry.licence,
        gated=entry.gated,
        demonstration=entry.demonstration,
        needs_vram_gib=entry.needs_vram_gib,
        parameters=parameters(entry),
        sizes=tuple(size(shape, pixels) for shape, pixels in chosen.items()),
        size_multiple=size_multiple(entry),
        max_pixels=entry.max_pixels,
        styles=tuple(Style(id=name, **styles[name].model_dump()) for name in entry.styles),
    )


def broken_info(model_id: str, reason: str) -> ModelInfo:
    """Return what stands in lists for an entry that cannot be read."""
    return ModelInfo(
        id=model_id,
        name=model_id,
        family=Family.SDXL,
        task=Task.TEXT,
        provider="local",
        description=reason,
        specialties=(),
        licence="unknown",
        gated=False,
        demonstration=False,
        needs_vram_gib=None,
        parameters=(),
        sizes=(),
        size_multiple=8,
        max_pixels=0,
        styles=(),
    )


def parameters(entry: ModelEntry) -> tuple[ParameterInfo, ...]:
    """Return the parameters that the model takes, narrowed as the entry says."""
    known = PARAMETERS[entry.family][entry.task]
    return tuple(
        _parameter(entry, name, known[name])
        for name in known
        if name not in entry.without and not _lacks_guidance(entry, name)
    )


def size_multiple(entry: ModelEntry) -> int:
    """Return what width and height must be multiples of."""
    return entry.size_multiple or SIZE_MULTIPLE[entry.family]


def size(shape: str, pixels: str) -> Size:
    """Return a size such as ("1:1", "1024x1024") as a value.

    Raises:
        ValueError: it is smaller than 16, larger than 4096 or no multiple of 8.
    """
    width, height = pixels.split("x")
    return Size(width=int(width), height=int(height), aspect_ratio=shape)


def _lacks_guidance(entry: ModelEntry, name: str) -> bool:
    """Return whether `name` works on guidance, of which the model has none."""
    return name in _OF_GUIDANCE and "guidance_scale" in entry.without


def _parameter(entry: ModelEntry, name: str, known: Known) -> ParameterInfo:
    low, high = entry.limits.get(name, (known.minimum, known.maximum))
    return ParameterInfo(
        name=name,
        type=known.type,
        default=_default(entry, name, known),
        minimum=low,
        maximum=high,
        step=known.step,
        options=_options(entry, name),
        description=known.description,
    )


def _default(entry: ModelEntry, name: str, known: Known) -> ParameterValue | None:
    if name == "profile":
        return entry.profiles[0]
    return entry.defaults.get(name, known.default)


def _options(entry: ModelEntry, name: str) -> tuple[str, ...]:
    if name == "profile":
        return entry.profiles
    if name != "scheduler":
        return ()
    names = SCHEDULERS[entry.family] if entry.schedulers is None else entry.schedulers
    return (OWN_SCHEDULER, *names)
