"""Writes an SDXL pipeline as one file in the original key names, as people share checkpoints.

`python -m training.storybook.single_file MODEL FILE` writes Storybook, or any folder of a small
SDXL model: `greenroom models add FILE` and other programs read it. It holds weights alone, so the
folder's configuration must be named beside it (`config` in models.yaml).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors.torch import save_file

from training.storybook.untyped import Pipeline, diffusers

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
_CLIP_TOP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_CLIP_LAYER = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def main(
    model: Annotated[Path, typer.Argument(help="Folder in the hub layout")],
    file: Annotated[Path, typer.Argument(help="What to write, ending in .safetensors")],
) -> None:
    """Write a model's folder as a single file, in the precision of its weights."""
    if file.suffix != ".safetensors":
        raise typer.BadParameter(f"'{file.name}' should end in .safetensors")
    pipeline = diffusers().StableDiffusionXLPipeline.from_pretrained(
        model, dtype=torch.float16, local_files_only=True
    )
    for encoder in (pipeline.text_encoder, pipeline.text_encoder_2):
        encoder.half()  # transformers loads them in the precision that their configuration says
    write_single_file(pipeline, file)


def write_single_file(pipeline: Pipeline, path: Path) -> None:
    """Write the weights of the UNet, the autoencoder and both text encoders."""
    weights: Weights = {}
    for key, value in pipeline.unet.state_dict().items():
        weights["model.diffusion_model." + _unet_key(key, pipeline.unet.config)] = value
    levels = len(pipeline.vae.config.block_out_channels)
    for key, value in pipeline.vae.state_dict().items():
        weights["first_stage_model." + _vae_key(key, levels)] = value
    for key, value in pipeline.text_encoder.state_dict().items():
        name = key if key.startswith("text_model.") else f"text_model.{key}"
        weights["conditioner.embedders.0.transformer." + name] = value
    weights |= _open_clip(pipeline.text_encoder_2.state_dict())
    save_file({key: value.contiguous() for key, value in weights.items()}, path)


def _replaced(text: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        text = text.replace(ours, theirs)
    return text


def _unet_key(key: str, config: object) -> str:
    for ours, theirs in _UNET_TOP.items():
        if key.startswith(ours + "."):
            return theirs + key[len(ours) :]
    layers = config.layers_per_block  # type: ignore[attr-defined]
    side, *rest = key.split(".")
    if side == "mid_block":
        kind, number, *tail = rest
        if kind == "resnets":
            return f"middle_block.{2 * int(number)}." + _replaced(".".join(tail), _RESNET)
        return "middle_block.1." + ".".join(tail)
    level, kind, number, *tail = rest
    down = side == "down_blocks"
    base = (1 if down else 0) + int(level) * (layers + 1)
    blocks = "input_blocks" if down else "output_blocks"
    if kind == "resnets":
        return f"{blocks}.{base + int(number)}.0." + _replaced(".".join(tail), _RESNET)
    if kind == "attentions":
        return f"{blocks}.{base + int(number)}.1." + ".".join(tail)
    if down:
        return f"{blocks}.{base + layers}.0.op.{tail[-1]}"
    crossed = config.up_block_types[int(level)].startswith("Cross")  # type: ignore[attr-defined]
    return f"{blocks}.{base + layers}.{2 if crossed else 1}.conv.{tail[-1]}"


def _vae_key(key: str, levels: int) -> str:
    parts = _replaced(key, _VAE).split(".")
    if "up_blocks" in parts:
        place = parts.index("up_blocks")
        parts[place : place + 2] = ["up", str(levels - 1 - int(parts[place + 1]))]
    return ".".join(parts)


def _open_clip(weights: Weights) -> Weights:
    root = "conditioner.embedders.1.model."
    out: Weights = {}
    joined: dict[str, dict[str, torch.Tensor]] = {}
    for full, value in weights.items():
        key = full.removeprefix("text_model.")
        if key == "text_projection.weight":
            out[root + "text_projection"] = value.T
        elif key in _CLIP_TOP:
            out[root + _CLIP_TOP[key]] = value
        else:
            _, _, layer, *tail = key.split(".")
            block = f"{root}transformer.resblocks.{layer}."
            if tail[0] == "self_attn" and tail[1] != "out_proj":
                name = f"{block}attn.in_proj_{tail[-1]}"
                joined.setdefault(name, {})[tail[1]] = value
            else:
                out[block + _replaced(".".join(tail), _CLIP_LAYER)] = value
    for name, parts in joined.items():
        out[name] = torch.cat([parts[letter + "_proj"] for letter in "qkv"])
    return out


if __name__ == "__main__":
    typer.run(main)
