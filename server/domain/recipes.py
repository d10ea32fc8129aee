"""The recipe of a picture: all that is needed to draw it again, in our JSON and in A1111's text."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from server.domain.connections import ProviderKind
from server.domain.images import (
    DrawnAdapter,
    Frozen,
    ImageFormat,
    ModelId,
    Options,
    Outpaint,
    Pair,
    Profile,
    no_options,
)

RECIPE_KEYWORD = "greenroom"  # PNG text chunk and EXIF prefix that hold the JSON
A1111_KEYWORD = "parameters"


class Engine(Frozen):
    """What drew it: versions and device, for the day two pictures differ."""

    greenroom: str
    torch: str
    diffusers: str
    device: str
    dtype: str


class RemoteEngine(Frozen):
    """Which service drew it; never its address, and never a key.

    Attributes:
        provider: the kind of service.
        model: the service's own id of the model.
        seeded: whether the service was given the seed; where not, it only numbers the picture.
        greenroom: the version that asked for it.
    """

    provider: ProviderKind
    model: str
    seeded: bool
    greenroom: str


class Recipe(Frozen):
    """One picture's own settings; `seed` is this picture's, not the request's first.

    `width` and `height` are the file's. `engine` is None where a service drew that does not tell,
    `remote` where the picture was drawn here. `fingerprint` and `scheduler` are None where only
    the service knows them, `num_inference_steps` where the model has no such parameter.
    """

    version: Literal[1] = 1
    model: ModelId
    fingerprint: str | None
    prompt: str
    negative_prompt: str | None
    width: int
    height: int
    seed: int
    num_inference_steps: int | None
    guidance_scale: float | None
    true_cfg_scale: float | None
    scheduler: str | None
    max_sequence_length: int | None
    image: str | None = Field(description="SHA-256 of the source picture's file")
    strength: float | None
    mask: str | None = Field(default=None, description="SHA-256 of the mask's file")
    outpaint: Outpaint | None = None
    references: tuple[str, ...] = Field(default=(), description="SHA-256 of each file")
    adapters: tuple[DrawnAdapter, ...] = Field(
        default=(), description="What it was drawn with beside the model, by the files' SHA-256"
    )
    options: Options = Field(default_factory=no_options)
    guidance_rescale: float | None = None
    clip_skip: int | None = None
    original_size: Pair | None = None
    crops_coords_top_left: Pair | None = None
    target_size: Pair | None = None
    negative_original_size: Pair | None = None
    negative_crops_coords_top_left: Pair | None = None
    negative_target_size: Pair | None = None
    format: ImageFormat
    profile: Profile
    plan: str | None = Field(
        default=None, description="How the model was held and run; absent in older recipes"
    )
    engine: Engine | None
    remote: RemoteEngine | None = None
    created_at: datetime


def parameters_text(recipe: Recipe) -> str:
    """Return the recipe as A1111's `parameters` text, which most picture tools can read."""
    tags = (f"<lora:{adapter.id}:{adapter.weight:g}>" for adapter in recipe.adapters)
    lines = [" ".join((recipe.prompt, *tags))]
    if recipe.negative_prompt:
        lines.append(f"Negative prompt: {recipe.negative_prompt}")
    cfg = recipe.guidance_scale if recipe.true_cfg_scale in (None, 1) else recipe.true_cfg_scale
    fields: dict[str, object] = {
        "Steps": recipe.num_inference_steps,
        "Sampler": recipe.scheduler,
        "CFG scale": cfg,
        "Seed": recipe.seed,
        "Size": f"{recipe.width}x{recipe.height}",
        "Model hash": recipe.fingerprint[:10] if recipe.fingerprint else None,
        "Model": recipe.model,
        "Denoising strength": recipe.strength,
        "Version": _version(recipe),
    }
    if recipe.true_cfg_scale not in (None, 1):
        fields["Distilled CFG Scale"] = recipe.guidance_scale
    said = (
        f"{name}: {value:g}" if isinstance(value, float) else f"{name}: {value}"
        for name, value in fields.items()
        if value is not None
    )
    lines.append(", ".join(said))
    return "\n".join(lines)


def _version(recipe: Recipe) -> str | None:
    asked = recipe.remote or recipe.engine
    return None if asked is None else f"greenroom {asked.greenroom}"
