"""What diffusers' own SDXL pipelines make of a request."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import (
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)

from server.domain.images import ResolvedRequest
from server.domain.models import Family
from server.engine import schedulers
from server.engine.families.base import Pictures

SIZES = (
    "original_size",
    "crops_coords_top_left",
    "target_size",
    "negative_original_size",
    "negative_crops_coords_top_left",
    "negative_target_size",
)


def latents(
    sdxl: StableDiffusionXLPipeline,
    asked: ResolvedRequest,
    pictures: Pictures | None = None,
    **instead: Any,
) -> torch.Tensor:
    """Return the finished latents; `instead` replaces arguments of the call."""
    given = pictures or Pictures()
    pipeline = _pipeline(sdxl, asked, given)
    arguments = _arguments(asked, given) | instead
    drawn: torch.Tensor = pipeline(**arguments, output_type="latent").images
    return drawn


def pixels(
    sdxl: StableDiffusionXLPipeline, asked: ResolvedRequest, pictures: Pictures
) -> np.ndarray[Any, Any]:
    """Return the finished picture, (height, width, 3) uint8."""
    pipeline = _pipeline(sdxl, asked, pictures)
    return np.asarray(pipeline(**_arguments(asked, pictures)).images[0])


def _pipeline(sdxl: StableDiffusionXLPipeline, asked: ResolvedRequest, pictures: Pictures) -> Any:
    scheduler = schedulers.build(Family.SDXL, asked.scheduler, sdxl.scheduler)
    pipeline = _kind(pictures)(
        **{**sdxl.components, "scheduler": scheduler},
        add_watermarker=False,
        force_zeros_for_empty_prompt=sdxl.config.force_zeros_for_empty_prompt,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _kind(pictures: Pictures) -> Any:
    if pictures.mask is not None:
        return StableDiffusionXLInpaintPipeline
    if pictures.image is not None:
        return StableDiffusionXLImg2ImgPipeline
    return StableDiffusionXLPipeline


def _arguments(asked: ResolvedRequest, pictures: Pictures) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "prompt": asked.prompt,
        "negative_prompt": asked.negative_prompt,
        "num_inference_steps": asked.num_inference_steps,
        "guidance_scale": asked.guidance_scale,
        "guidance_rescale": asked.guidance_rescale or 0.0,
        "clip_skip": asked.clip_skip,
        "generator": torch.Generator().manual_seed(asked.seed),
    }
    sizes = {name: getattr(asked, name) for name in SIZES}
    arguments |= {name: size for name, size in sizes.items() if size is not None}
    if pictures.image is not None:
        arguments |= {"image": pictures.image, "strength": asked.strength}
    if pictures.mask is not None:
        arguments["mask_image"] = pictures.mask
    if pictures.image is None or pictures.mask is not None:
        arguments |= {"width": asked.width, "height": asked.height}
    return arguments
