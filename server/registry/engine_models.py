"""From a ready entry to the plain values that cross the border to a worker."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from server.domain.models import EngineModel, Family, ModelPart, ModelSource, Task
from server.registry.inspect import Found
from server.registry.schema import ModelEntry


def engine_model(entry: ModelEntry, looks: Sequence[Found]) -> EngineModel:
    """Return what a worker needs to load and draw with `entry`.

    Args:
        entry: a sound one.
        looks: its sources, all ready: the main one, then one for each part.
    """
    scheduler = entry.defaults.get("scheduler")
    return EngineModel(
        id=entry.id,
        family=Family.FLUX if entry.family == "flux" else Family.SDXL,
        source=_source(entry, looks),
        fingerprint=_fingerprint(entry, looks),
        scheduler=None if scheduler is None else str(scheduler),
        task=Task(entry.task),
        distilled_guidance=entry.family == "flux" and "guidance_scale" not in entry.without,
    )


def _source(entry: ModelEntry, looks: Sequence[Found]) -> ModelSource:
    main, *parts = looks
    return ModelSource(
        kind="single_file" if main.is_single_file else "folder",
        path=str(main.path),
        config=None if main.config is None else str(main.config),
        parts=tuple(
            ModelPart(kind=part.kind, path=str(found.path), weight=part.weight)
            for part, found in zip(entry.parts, parts, strict=True)
        ),
    )


def _fingerprint(entry: ModelEntry, looks: Sequence[Found]) -> str:
    if not entry.parts:
        return looks[0].fingerprint
    lines = [looks[0].fingerprint]
    for part, found in zip(entry.parts, looks[1:], strict=True):
        lines.append(f"{part.kind} {part.weight:g} {found.fingerprint}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
