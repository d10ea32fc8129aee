"""What each family of models takes, and as which pipeline diffusers knows it, by task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from server.domain.images import MAX_ADAPTERS, ParameterValue
from server.domain.models import ParameterType

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

# By family, then task. The first of each is what an entry of that kind is usually made from.
PIPELINES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sdxl": {
        "text": ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
        "fill": ("StableDiffusionXLInpaintPipeline",),
    },
    "flux": {
        "text": ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"),
        "fill": ("FluxFillPipeline",),
        "edit": ("FluxKontextPipeline", "FluxKontextInpaintPipeline"),
    },
}


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
_STEPS = Known("integer", "Denoising steps: more take longer", 30, 1, 150, 1)
_SCHEDULER = Known("choice", "Noise scheduler; default: the checkpoint's own", OWN_SCHEDULER)
_IMAGE = Known("image", "Upload or picture to start from")
_MASK = Known("image", "With image: white is drawn anew, black is kept")
_OUTPAINT = Known("outpaint", "With image: widen it and draw what is new")
_STRENGTH = Known(
    "number",
    "With image: 1 redraws all of it, 0.1 almost nothing; 1 with a mask unless given",
    0.6,
    0.05,
    1,
    0.05,
)
_REPAINTS = {
    "image": Known("image", "Upload or picture to repaint; needed"),
    "mask": Known("image", "White is drawn anew, black is kept; needed without outpaint"),
    "outpaint": Known("outpaint", "Widen the image and draw what is new; needed without mask"),
    "strength": replace(_STRENGTH, description="1 redraws all that is masked", default=1.0),
}
_STARTS = {"image": _IMAGE, "strength": _STRENGTH, "mask": _MASK, "outpaint": _OUTPAINT}
_ADAPTERS = Known("adapters", "LoRA files to draw with, each with a weight", maximum=MAX_ADAPTERS)
_PROFILE = Known("choice", "What the picture may give up for less memory or more speed", "exact")
_SAID = "as SDXL was told of its training pictures"
_SDXL = {
    "negative_prompt": _NEGATIVE,
    "num_inference_steps": _STEPS,
    "guidance_scale": Known("number", "How closely to follow the prompt", 5.0, 1, 20, 0.5),
    "guidance_rescale": Known("number", "Against glaring colours of strong guidance", 0, 0, 1, 0.1),
    "clip_skip": Known("integer", "Leave out this many of the last text layers", None, 1, 10, 1),
    "scheduler": _SCHEDULER,
    "original_size": Known("pair", f"Height and width of the original, {_SAID}"),
    "crops_coords_top_left": Known("pair", f"Top and left of the crop, {_SAID}"),
    "target_size": Known("pair", f"Height and width meant, {_SAID}"),
    "negative_original_size": Known("pair", "original_size to guide away from"),
    "negative_crops_coords_top_left": Known("pair", "crops_coords_top_left to guide away from"),
    "negative_target_size": Known("pair", "target_size to guide away from"),
    "adapters": _ADAPTERS,
    "profile": _PROFILE,
}
_GUIDANCE = "How closely to follow the prompt, as the network learned it"
_TRUE_CFG = {
    "negative_prompt": Known("string", f"{_NEGATIVE.description}; needs true_cfg_scale > 1"),
    "true_cfg_scale": Known(
        "number", "Guidance away from negative_prompt; above 1 takes twice as long", 1, 1, 10, 0.5
    ),
}
_FLUX = {
    "num_inference_steps": replace(_STEPS, default=28),
    "guidance_scale": Known("number", _GUIDANCE, 3.5, 0, 20, 0.5),
    "max_sequence_length": Known("integer", "Longest prompt in tokens", 512, 16, 512, 1),
    "scheduler": _SCHEDULER,
    "adapters": _ADAPTERS,
    "profile": _PROFILE,
}
_MOST_REFERENCES = 4  # side by side in one forward; more were never tried
_REFERENCES = Known("images", "Pictures that the prompt speaks of", maximum=_MOST_REFERENCES)

# By family, then task; forms show them in this order.
PARAMETERS: Mapping[str, Mapping[str, Mapping[str, Known]]] = {
    "sdxl": {"text": {**_SDXL, **_STARTS}, "fill": {**_SDXL, **_REPAINTS}},
    "flux": {
        "text": {
            **_TRUE_CFG,
            **_FLUX,
            **_STARTS,
            "strength": replace(_STRENGTH, default=0.75),
        },
        "fill": {
            **_FLUX,
            "num_inference_steps": replace(_STEPS, default=50),
            "guidance_scale": Known("number", _GUIDANCE, 30.0, 0, 30, 0.5),
            **_REPAINTS,
        },
        "edit": {
            **_TRUE_CFG,
            **_FLUX,
            "guidance_scale": Known("number", _GUIDANCE, 2.5, 0, 20, 0.5),
            "references": _REFERENCES,
        },
    },
}


def kind_of(pipeline: str) -> tuple[str, str] | None:
    """Return family and task of a diffusers pipeline's class name; None where neither draws it."""
    return next((kind for kind, names in _kinds() if pipeline in names), None)


def _kinds() -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    for family, tasks in PIPELINES.items():
        for task, names in tasks.items():
            yield (family, task), names
