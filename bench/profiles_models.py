"""The models that plans are tried on: small ones for a CPU, and ones of the real size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, FluxTransformer2DModel, StableDiffusionXLPipeline
from torch import nn

from bench import gpu_models
from server.domain.images import ImageFormat, ResolvedRequest
from server.domain.models import Family
from server.engine import tiny

_STORYBOOK = Path("server/assets/storybook-xl")
_PROMPTS = (
    "a red cat in the snow, watercolour style",
    "a blue robot on the beach, ink style",
    "a green frog in the forest, watercolour style",
    "a small yellow chick in the city, watercolour style",
)


@dataclass(frozen=True)
class Subject:
    """A model to try plans on; `build` makes it anew, always with the same weights."""

    name: str
    family: Family
    build: Callable[[torch.device], DiffusionPipeline]
    requests: tuple[ResolvedRequest, ...]


def small_subjects() -> Iterator[Subject]:
    """Yield Storybook XL, and a FLUX.1 of twelve blocks with random weights."""

    def storybook(_: torch.device) -> DiffusionPipeline:
        return StableDiffusionXLPipeline.from_pretrained(_STORYBOOK, add_watermarker=False)

    drawn = {"width": 64, "height": 64, "num_inference_steps": 20, "guidance_scale": 3.0}
    yield Subject(
        "Storybook XL", Family.SDXL, storybook, tuple(_request(p, **drawn) for p in _PROMPTS)
    )
    drawn = {"width": 128, "height": 128, "num_inference_steps": 28, "guidance_scale": 3.5}
    drawn["max_sequence_length"] = 64
    yield Subject(
        "FLUX.1 of 12 blocks, random",
        Family.FLUX,
        _flux_of_twelve_blocks,
        tuple(_request(p, **drawn) for p in _PROMPTS[:2]),
    )


def real_subjects() -> Iterator[Subject]:
    """Yield SDXL and FLUX.1 dev at their real size with random weights."""
    for family, steps, guidance in ((Family.SDXL, 30, 5.0), (Family.FLUX, 28, 3.5)):
        drawn = {"width": 1024, "height": 1024}
        asked = _request(_PROMPTS[0], **drawn, num_inference_steps=steps, guidance_scale=guidance)

        def build(device: torch.device, family: Family = family) -> DiffusionPipeline:
            return gpu_models.build(family, device, small=False).pipeline

        yield Subject(f"{family.value} at its real size, random", family, build, (asked,))


def _flux_of_twelve_blocks(_: torch.device) -> DiffusionPipeline:
    pipeline = tiny.make_flux()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        pipeline.register_modules(
            transformer=FluxTransformer2DModel(
                in_channels=64,
                num_layers=4,
                num_single_layers=8,
                attention_head_dim=32,
                num_attention_heads=8,
                joint_attention_dim=32,
                pooled_projection_dim=32,
                guidance_embeds=True,
                axes_dims_rope=(8, 12, 12),
            )
        )
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.eval()
    return pipeline


def _request(prompt: str, **values: object) -> ResolvedRequest:
    return ResolvedRequest.model_validate(
        {
            "model": "measured",
            "prompt": prompt,
            "negative_prompt": None,
            "num_images": 1,
            "seed": 1,
            "true_cfg_scale": None,
            "scheduler": None,
            "max_sequence_length": None,
            "image": None,
            "strength": None,
            "format": ImageFormat.PNG,
            **values,
        }
    )
