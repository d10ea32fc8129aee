"""The shapes of the Storybook models: real diffusers and transformers classes, only small."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from training.storybook.untyped import Autoencoder, NoiseScheduler, Pipeline, UNet, diffusers

AUTOENCODER_SCALE = 4  # pixels on a side for one latent
SIZE_CONDITIONS = 6  # original size, crop and target size, two numbers each
NOISE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
}


@dataclass(frozen=True)
class AutoencoderShape:
    """Channels from full size down to the latents' size."""

    channels: tuple[int, ...] = (16, 64, 112)
    latent_channels: int = 4
    norm_groups: int = 4


@dataclass(frozen=True)
class DenoiserShape:
    """The UNet and its two text encoders, whose widths must differ, as in SDXL.

    Loading a single file tells the two encoders apart by their widths.
    """

    channels: tuple[int, int, int] = (72, 96, 96)
    heads: tuple[int, int, int] = (3, 3, 3)
    norm_groups: int = 8
    text_widths: tuple[int, int] = (64, 80)
    text_layers: int = 3
    time_width: int = 16  # of each of the six size conditions


@dataclass(frozen=True)
class Denoiser:
    """What is trained together: the UNet and both text encoders."""

    unet: UNet
    text_encoder: CLIPTextModel
    text_encoder_2: CLIPTextModelWithProjection

    @property
    def modules(self) -> dict[str, torch.nn.Module]:
        """The three of them by the names that a pipeline uses."""
        return {
            "unet": self.unet,
            "text_encoder": self.text_encoder,
            "text_encoder_2": self.text_encoder_2,
        }


def build_autoencoder(shape: AutoencoderShape) -> Autoencoder:
    """Return a fresh autoencoder: pictures (batch, 3, h, w) in -1..1, latents a quarter as wide."""
    levels = len(shape.channels)
    autoencoder = diffusers().AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=shape.channels,
        layers_per_block=1,
        latent_channels=shape.latent_channels,
        norm_num_groups=shape.norm_groups,
        sample_size=64,
        mid_block_add_attention=False,
        force_upcast=False,
    )
    with torch.no_grad():  # almost no noise at first: else a fresh decoder learns only the mean
        autoencoder.quant_conv.bias[shape.latent_channels :].fill_(-6.0)
    return autoencoder


def build_denoiser(shape: DenoiserShape, tokenizer: CLIPTokenizer, size: int) -> Denoiser:
    """Return a fresh denoiser for square pictures of `size` pixels."""
    first, second = shape.text_widths
    unet = diffusers().UNet2DConditionModel(
        sample_size=size // AUTOENCODER_SCALE,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=shape.channels,
        layers_per_block=1,
        cross_attention_dim=first + second,
        transformer_layers_per_block=1,
        attention_head_dim=shape.heads,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=shape.time_width,
        projection_class_embeddings_input_dim=second + SIZE_CONDITIONS * shape.time_width,
        norm_num_groups=shape.norm_groups,
    )
    return Denoiser(
        unet,
        CLIPTextModel(_text_config(shape, first, tokenizer)),
        CLIPTextModelWithProjection(_text_config(shape, second, tokenizer)),
    )


def training_scheduler() -> NoiseScheduler:
    """Return the noise that the denoiser is trained with."""
    return diffusers().DDPMScheduler(**NOISE)


def build_pipeline(
    autoencoder: Autoencoder, denoiser: Denoiser, tokenizer: CLIPTokenizer
) -> Pipeline:
    """Return the pipeline; an empty prompt is all zeros to it, as caption dropout trained it."""
    scheduler = diffusers().EulerDiscreteScheduler(
        **NOISE, timestep_spacing="trailing", steps_offset=1
    )
    pipeline = diffusers().StableDiffusionXLPipeline(
        vae=autoencoder,
        text_encoder=denoiser.text_encoder,
        text_encoder_2=denoiser.text_encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=denoiser.unet,
        scheduler=scheduler,
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _text_config(shape: DenoiserShape, width: int, tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=shape.text_layers,
        num_attention_heads=width // 16,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
