"""Writes a pipeline as one file in the key names of SDXL's first release."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file

Weights = dict[str, torch.Tensor]

_UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_VAE = {
    "down_blocks": "down",
    "resnets": "block",
    "downsamplers.0": "downsample",
    "upsamplers.0": "upsample",
    "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
    "mid_block.block.0": "mid.block_1",
    "mid_block.block.1": "mid.block_2",
}
_OPEN_CLIP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_OPEN_CLIP_LAYER = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def write_single_file(pipeline: StableDiffusionXLPipeline, path: Path) -> None:
    """Write all weights of `pipeline` to `path` as published SDXL checkpoints have them."""
    weights = {
        **_unet(pipeline),
        **_vae(pipeline),
        **{
            f"conditioner.embedders.0.transformer.{_prefixed(name)}": value
            for name, value in pipeline.text_encoder.state_dict().items()
        },
        **_open_clip(pipeline.text_encoder_2.state_dict()),
    }
    save_file({name: value.contiguous() for name, value in weights.items()}, path)


def _prefixed(name: str) -> str:
    return name if name.startswith("text_model") else f"text_model.{name}"


def _renamed(name: str, names: dict[str, str]) -> str:
    for new, old in names.items():
        name = name.replace(new, old)
    return name


def _unet(pipeline: StableDiffusionXLPipeline) -> Weights:
    config = pipeline.unet.config
    found: Weights = {}
    for name, value in pipeline.unet.state_dict().items():
        top = next((t for t in _UNET_TOP if name.startswith(f"{t}.")), None)
        old = _UNET_TOP[top] + name[len(top) :] if top else _unet_block(name.split("."), config)
        found[f"model.diffusion_model.{old}"] = value
    return found


def _unet_block(parts: list[str], config: object) -> str:
    per_block = config.layers_per_block + 1  # type: ignore[attr-defined]
    if parts[0] == "mid_block":
        if parts[1] == "resnets":
            return f"middle_block.{2 * int(parts[2])}.{_renamed('.'.join(parts[3:]), _RESNET)}"
        return f"middle_block.1.{'.'.join(parts[3:])}"
    block, kind, index = int(parts[1]), parts[2], int(parts[3])
    rest = ".".join(parts[4:])
    if parts[0] == "down_blocks":
        first, side = 1 + block * per_block, "input_blocks"
        if kind == "downsamplers":
            return f"{side}.{first + per_block - 1}.0.op.{parts[-1]}"
    else:
        first, side = block * per_block, "output_blocks"
        if kind == "upsamplers":
            crossed = config.up_block_types[block].startswith("Cross")  # type: ignore[attr-defined]
            return f"{side}.{first + per_block - 1}.{2 if crossed else 1}.conv.{parts[-1]}"
    if kind == "resnets":
        return f"{side}.{first + index}.0.{_renamed(rest, _RESNET)}"
    return f"{side}.{first + index}.1.{rest}"


def _vae(pipeline: StableDiffusionXLPipeline) -> Weights:
    levels = len(pipeline.vae.config.block_out_channels)
    found: Weights = {}
    for name, value in pipeline.vae.state_dict().items():
        parts = _renamed(name, _VAE).split(".")
        if "up_blocks" in parts:
            at = parts.index("up_blocks")
            parts[at : at + 2] = ["up", str(levels - 1 - int(parts[at + 1]))]
        found[f"first_stage_model.{'.'.join(parts)}"] = value
    return found


def _open_clip(state: Weights) -> Weights:
    found: Weights = {}
    joined: dict[str, dict[str, torch.Tensor]] = {}
    for full, value in state.items():
        name = full.removeprefix("text_model.")
        parts = name.split(".")
        if name.endswith("position_ids"):
            continue
        if name == "text_projection.weight":
            found["text_projection"] = value.T
        elif name in _OPEN_CLIP:
            found[_OPEN_CLIP[name]] = value
        elif parts[4].endswith("_proj") and parts[4] != "out_proj":
            joined.setdefault(f"{parts[2]}.attn.in_proj_{parts[-1]}", {})[parts[4]] = value
        else:
            layer = _renamed(".".join(parts[3:]), _OPEN_CLIP_LAYER)
            found[f"transformer.resblocks.{parts[2]}.{layer}"] = value
    for name, three in joined.items():
        found[f"transformer.resblocks.{name}"] = torch.cat(
            [three["q_proj"], three["k_proj"], three["v_proj"]]
        )
    return {f"conditioner.embedders.1.model.{name}": value for name, value in found.items()}
