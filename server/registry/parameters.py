"""From an entry of models.yaml to what a model declares about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.domain.models import (
    Family,
    ModelInfo,
    ParameterInfo,
    ParameterType,
    ParameterValue,
    Size,
    Style,
    Task,
)
from server.registry.schema import ModelEntry, Sizes, StyleEntry

# As the engine spells them (server.engine.schedulers); a test keeps the two the same.
SCHEDULERS: Mapping[str, tuple[str, ...]] = {
    "sdxl": (
        "euler",
        "euler_a",
        "dpmpp_2m",
        "dpmpp_2m_karras",
        "dpmpp_2m_sde",
        "dpmpp_2m_sde_karras",
        "dpmpp_sde",
        "ddim",
        "unipc",
        "lcm",
        "tcd",
        "heun",
        "euler_trailing",
        "ddim_trailing",
    ),
    "flux": ("flow_match_euler", "flow_match_heun", "dpmpp_2m", "unipc"),
}
OWN_SCHEDULER = "default"  # the checkpoint's own, always offered; recipes spell it so, too
SIZE_MULTIPLE: Mapping[str, int] = {"sdxl": 8, "flux": 16}


@dataclass(frozen=True, slots=True)
class Known:
    """A parameter as its family takes it, before an entry narrows it."""

    type: ParameterType
    description: str
    default: ParameterValue | None = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None


_NEGATIVE = Known("string", "What the picture should not show")
_STEPS = "Denoising steps: more take longer"
_SCHEDULER = Known("choice", "Noise scheduler; default: the checkpoint's own", OWN_SCHEDULER)
_IMAGE = Known("image", "Upload or picture to start from")
_STRENGTH = "With image: 1 redraws all of it, 0.1 almost nothing"

PARAMETERS: Mapping[str, Mapping[str, Known]] = {
    "sdxl": {
        "negative_prompt": _NEGATIVE,
        "num_inference_steps": Known("integer", _STEPS, 30, 1, 150, 1),
        "guidance_scale": Known("number", "How closely to follow the prompt", 5.0, 1, 20, 0.5),
        "scheduler": _SCHEDULER,
        "image": _IMAGE,
        "strength": Known("number", _STRENGTH, 0.6, 0.05, 1, 0.05),
    },
    "flux": {
        "negative_prompt": Known("string", f"{_NEGATIVE.description}; needs true_cfg_scale > 1"),
        "num_inference_steps": Known("integer", _STEPS, 28, 1, 150, 1),
        "guidance_scale": Known(
            "number", "How closely to follow the prompt, as the network learned it", 3.5, 0, 20, 0.5
        ),
        "true_cfg_scale": Known(
            "number",
            "Guidance away from negative_prompt; above 1 takes twice as long",
            1,
            1,
            10,
            0.5,
        ),
        "max_sequence_length": Known("integer", "Longest prompt in tokens", 512, 16, 512, 1),
        "scheduler": _SCHEDULER,
        "image": _IMAGE,
        "strength": Known("number", _STRENGTH, 0.75, 0.05, 1, 0.05),
    },
}


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
    return tuple(
        _parameter(entry, name, known)
        for name, known in PARAMETERS[entry.family].items()
        if name not in entry.without
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


def _parameter(entry: ModelEntry, name: str, known: Known) -> ParameterInfo:
    low, high = entry.limits.get(name, (known.minimum, known.maximum))
    return ParameterInfo(
        name=name,
        type=known.type,
        default=entry.defaults.get(name, known.default),
        minimum=low,
        maximum=high,
        step=known.step,
        options=_options(entry) if name == "scheduler" else (),
        description=known.description,
    )


def _options(entry: ModelEntry) -> tuple[str, ...]:
    names = SCHEDULERS[entry.family] if entry.schedulers is None else entry.schedulers
    return (OWN_SCHEDULER, *names)
