"""Small random-weight pipelines of the real classes: `python -m server.engine.tiny sdxl FOLDER`.

They draw noise, but they draw it with every part of the real thing, in milliseconds and without
a download. The same weights come out every time.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxKontextPipeline,
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
    T5Tokenizer,
)

from server.engine.tokens import clip_tokenizer, t5_tokenizer

_SEED = 20_26
_CONTRAST = 8.0  # a random decoder paints nearly grey; this gives every seed its own look


def make_sdxl() -> StableDiffusionXLPipeline:
    """Return a small SDXL pipeline; 128 x 128 is its own size."""
    tokenizer = clip_tokenizer()
    with _same_weights():
        return StableDiffusionXLPipeline(
            vae=_vae(4, {"scaling_factor": 0.13025, "force_upcast": True}),
            # Two widths: from_single_file tells the two encoders of a file apart by them.
            text_encoder=CLIPTextModel(_clip_config(tokenizer, 32)),
            text_encoder_2=CLIPTextModelWithProjection(_clip_config(tokenizer, 40)),
            tokenizer=tokenizer,
            tokenizer_2=clip_tokenizer(),
            unet=_unet(text_width=32 + 40, pooled_width=40),
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                timestep_spacing="leading",
                steps_offset=1,
            ),
            add_watermarker=False,
        )


def make_flux(*, guidance_embeds: bool = True) -> FluxPipeline:
    """Return a small FLUX.1 pipeline: like dev with `guidance_embeds`, like schnell without."""
    with _same_weights():
        return FluxPipeline(**_flux_parts(guidance_embeds=guidance_embeds))


def make_flux_fill() -> FluxFillPipeline:
    """Return a small FLUX.1 Fill pipeline: its network reads a picture and a mask, too."""
    # Of every token: 64 of the latents, 64 of the masked picture, 16 x 16 pixels of the mask.
    with _same_weights():
        return FluxFillPipeline(**_flux_parts(in_channels=64 + 64 + 16 * 16))


def make_flux_kontext() -> FluxKontextPipeline:
    """Return a small FLUX.1 Kontext pipeline: the parts of `make_flux`, for edits."""
    with _same_weights():
        return FluxKontextPipeline(**_flux_parts())


MAKERS: Mapping[str, Callable[[], DiffusionPipeline]] = {
    "sdxl": make_sdxl,
    "flux": make_flux,
    "flux-fill": make_flux_fill,
    "flux-kontext": make_flux_kontext,
}


def write(family: str, folder: Path) -> None:
    """Write the small pipeline of `family` to `folder` in the hub's layout, all of it or nothing.

    A folder that is already there stays as it is.

    Args:
        family: a name in MAKERS.
        folder: where the pipeline will lie.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        MAKERS[family]().save_pretrained(aside, safe_serialization=True)
        aside.chmod(0o755)
        aside.rename(folder)
    except OSError:
        if not folder.exists():  # else another process was first, with the same weights
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


class _same_weights:  # noqa: N801 - reads as a word in `with`
    """Draw the weights from one fixed seed and leave torch's own generator as it was."""

    def __enter__(self) -> None:
        self._fork = torch.random.fork_rng(devices=[])
        self._fork.__enter__()
        torch.manual_seed(_SEED)

    def __exit__(self, *error: object) -> None:
        self._fork.__exit__(None, None, None)


def _flux_parts(*, guidance_embeds: bool = True, in_channels: int = 64) -> dict[str, Any]:
    tokenizer, tokenizer_2 = clip_tokenizer(), t5_tokenizer()
    return {
        "vae": _vae(
            16,
            {
                "scaling_factor": 0.3611,
                "shift_factor": 0.1159,
                "use_quant_conv": False,
                "use_post_quant_conv": False,
                "force_upcast": False,
            },
        ),
        "text_encoder": CLIPTextModel(_clip_config(tokenizer, 32)),
        "tokenizer": tokenizer,
        "text_encoder_2": T5EncoderModel(_t5_config(tokenizer_2)),
        "tokenizer_2": tokenizer_2,
        "transformer": _transformer(in_channels, guidance_embeds=guidance_embeds),
        "scheduler": FlowMatchEulerDiscreteScheduler(
            shift=3.0 if guidance_embeds else 1.0, use_dynamic_shifting=guidance_embeds
        ),
    }


def _transformer(in_channels: int, *, guidance_embeds: bool) -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=in_channels,
        out_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=4,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 6, 6),
    )


def _t5_config(tokenizer: T5Tokenizer) -> T5Config:
    return T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )


def _clip_config(tokenizer: CLIPTokenizer, width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        # The pooled output is read at the end token, so its number must be the tokenizer's.
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _vae(latent_channels: int, config: Mapping[str, float | bool]) -> AutoencoderKL:
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=128,
        mid_block_add_attention=False,
        **config,
    )
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(_CONTRAST)
    return vae


def _unet(text_width: int, pooled_width: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(24, 32),
        layers_per_block=1,
        cross_attention_dim=text_width,
        attention_head_dim=(2, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=pooled_width + 6 * 8,
        norm_num_groups=8,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when the folder is there."""
    parser = argparse.ArgumentParser(prog="server.engine.tiny", description=__doc__)
    parser.add_argument("family", choices=sorted(MAKERS))
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args(arguments)
    write(chosen.family, chosen.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
