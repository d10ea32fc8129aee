"""SDXL and FLUX.1 at their real size with random weights: real speed and memory, no download."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

from server.domain.models import EngineModel, Family, ModelSource
from server.engine import tiny
from server.engine.families.base import FamilyPipeline
from server.engine.families.flux import FluxFamily
from server.engine.families.sdxl import SdxlFamily
from server.engine.tokens import t5_tokenizer

SDXL = Path("server/registry/configs/sdxl")
# FLUX.1 dev: the transformer's own defaults, and the widths that its model card gives.
_FLUX_VAE: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 16,
    "norm_num_groups": 32,
    "sample_size": 1024,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "force_upcast": True,
}
_T5_XXL: Mapping[str, Any] = {
    "d_model": 4096,
    "d_ff": 10240,
    "d_kv": 64,
    "num_layers": 24,
    "num_heads": 64,
    "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu",
    "dense_act_fn": "gelu_new",
    "is_gated_act": True,
}


@dataclass(frozen=True)
class Built:
    """A pipeline on its device, and what draws with it step by step."""

    family: Family
    pipeline: DiffusionPipeline
    device: torch.device

    @property
    def network(self) -> torch.nn.Module:
        """The network of one step."""
        found = getattr(self.pipeline, "unet", None) or self.pipeline.transformer
        if not isinstance(found, torch.nn.Module):
            raise TypeError("the pipeline has no network")
        return found

    def drawn_by_steps(self) -> FamilyPipeline:
        """Return our own way to draw with the same weights."""
        if self.family is Family.FLUX:
            return FluxFamily(self.pipeline)
        return SdxlFamily(self.pipeline)

    def engine_model(self) -> EngineModel:
        """Return what the worker would be told of it."""
        return EngineModel(
            id=f"random-{self.family.value}",
            family=self.family,
            source=ModelSource(kind="folder", path="nowhere"),
            fingerprint="random",
            scheduler=None,
            distilled_guidance=self.family is Family.FLUX,
        )


def build(family: Family, device: torch.device, *, small: bool) -> Built:
    """Return a model of `family` with random weights; `small` ones only try the code."""
    if small:
        made = tiny.make_flux() if family is Family.FLUX else tiny.make_sdxl()
        pipeline = made.to(device)
    else:
        pipeline = _flux(device) if family is Family.FLUX else _sdxl(device)
    pipeline.set_progress_bar_config(disable=True)
    return Built(family, pipeline, device)


def _sdxl(device: torch.device) -> StableDiffusionXLPipeline:
    first = CLIPTextConfig.from_pretrained(SDXL / "text_encoder")
    second = CLIPTextConfig.from_pretrained(SDXL / "text_encoder_2")
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(SDXL / "unet"))
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(SDXL / "vae"))
        text_encoder = CLIPTextModel(first)
        text_encoder_2 = CLIPTextModelWithProjection(second)
    return StableDiffusionXLPipeline(
        unet=_filled(unet, device),
        vae=_filled(vae, device),
        text_encoder=_filled(text_encoder, device),
        text_encoder_2=_filled(text_encoder_2, device),
        tokenizer=CLIPTokenizer.from_pretrained(SDXL / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(SDXL / "tokenizer_2"),
        scheduler=EulerDiscreteScheduler.from_config(
            EulerDiscreteScheduler.load_config(SDXL / "scheduler")
        ),
        add_watermarker=False,
    )


def _flux(device: torch.device) -> FluxPipeline:
    clip = CLIPTextConfig.from_pretrained(SDXL / "text_encoder")
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(guidance_embeds=True)
        vae = AutoencoderKL(**_FLUX_VAE)
        text_encoder = CLIPTextModel(clip)
        text_encoder_2 = T5EncoderModel(T5Config(**_T5_XXL))
    return FluxPipeline(
        transformer=_filled(transformer, device),
        vae=_filled(vae, device),
        text_encoder=_filled(text_encoder, device),
        text_encoder_2=_filled(text_encoder_2, device),
        tokenizer=CLIPTokenizer.from_pretrained(SDXL / "tokenizer"),
        tokenizer_2=t5_tokenizer(),  # its words are few, its encoder is the real one's size
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15
        ),
    )


def _filled(module: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Return a module of the meta device with random weights that keep numbers in range."""
    module = (
        module.to(torch.bfloat16).to_empty(device=device).eval().requires_grad_(requires_grad=False)
    )
    generator = torch.Generator(device).manual_seed(1)
    for name, weights in module.named_parameters():
        if weights.ndim > 1:
            weights.normal_(0, 1 / math.sqrt(weights[0].numel()), generator=generator)
        else:
            weights.fill_(1.0 if name.endswith("weight") else 0.0)
    for name, values in module.named_buffers():
        if name.endswith("position_ids"):
            values.copy_(torch.arange(values.shape[-1], device=device)[None])
    return module
