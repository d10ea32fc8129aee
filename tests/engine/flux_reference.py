"""What diffusers' own Flux pipelines draw for a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    FluxFillPipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxKontextInpaintPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    UniPCMultistepScheduler,
)

from server.domain.images import ResolvedRequest
from server.domain.models import Family
from server.engine import schedulers
from server.engine.families.base import Pictures


class NamedUniPC(UniPCMultistepScheduler):  # type: ignore[misc]
    """Has the name for adding noise that the pipelines for pictures call."""

    def scale_noise(
        self, sample: torch.Tensor, timestep: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        return torch.as_tensor(self.add_noise(sample, noise, timestep))


class NamedDpm(DPMSolverMultistepScheduler):  # type: ignore[misc]
    """Likewise; and takes the sigmas that they pass, though it has its own."""

    def scale_noise(
        self, sample: torch.Tensor, timestep: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        return torch.as_tensor(self.add_noise(sample, noise, timestep))

    def set_timesteps(self, *, sigmas: Sequence[float], mu: float, device: torch.device) -> None:
        super().set_timesteps(len(sigmas), device, mu)


NO_PICTURES = Pictures()
_NAMED: dict[str, Any] = {"unipc": NamedUniPC, "dpmpp_2m": NamedDpm}


def latents_of(
    flux: DiffusionPipeline,
    asked: ResolvedRequest,
    pictures: Pictures = NO_PICTURES,
    *,
    auto_resize: bool = False,
) -> torch.Tensor:
    """Return the packed latents of the pipeline that is made for these pictures.

    `auto_resize`: bring references to a preferred size, as Kontext's pipeline does by itself.
    """
    kind, extra = _chosen(flux, asked, pictures, auto_resize=auto_resize)
    scheduler = schedulers.build(Family.FLUX, asked.scheduler, flux.scheduler)
    if kind not in (FluxPipeline, FluxKontextPipeline) and asked.scheduler in _NAMED:
        scheduler = _NAMED[asked.scheduler].from_config(scheduler.config)
    pipeline = kind(**{**flux.components, "scheduler": scheduler})
    pipeline.set_progress_bar_config(disable=True)
    arguments: dict[str, Any] = {
        "prompt": asked.prompt,
        "num_inference_steps": asked.num_inference_steps,
        "guidance_scale": asked.guidance_scale,
        "generator": torch.Generator().manual_seed(asked.seed),
        "width": asked.width,
        "height": asked.height,
        "max_sequence_length": asked.max_sequence_length,
    }
    if asked.true_cfg_scale is not None:
        arguments["true_cfg_scale"] = asked.true_cfg_scale
        arguments["negative_prompt"] = asked.negative_prompt
    latents: torch.Tensor = pipeline(**arguments, **extra, output_type="latent").images
    return latents


def _chosen(
    flux: DiffusionPipeline, asked: ResolvedRequest, pictures: Pictures, *, auto_resize: bool
) -> tuple[type[DiffusionPipeline], dict[str, Any]]:
    extra: dict[str, Any]
    if isinstance(flux, FluxKontextPipeline):
        area = asked.width * asked.height
        reference = pictures.references[0] if pictures.references else None
        extra = {"image": reference, "max_area": area, "_auto_resize": auto_resize}
        if pictures.mask is None:
            return FluxKontextPipeline, extra
        masked = {"image": pictures.image, "mask_image": pictures.mask}
        extra |= {**masked, "image_reference": reference, "strength": asked.strength}
        return FluxKontextInpaintPipeline, extra
    if pictures.image is None:
        return FluxPipeline, {}
    extra = {"image": pictures.image}
    if asked.strength is not None:
        extra["strength"] = asked.strength
    if pictures.mask is None:
        return FluxImg2ImgPipeline, extra
    kind = FluxFillPipeline if isinstance(flux, FluxFillPipeline) else FluxInpaintPipeline
    return kind, extra | {"mask_image": pictures.mask}
