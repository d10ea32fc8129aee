"""Adapters on the small UNet: added with PEFT, trained alone, saved as diffusers saves them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict

from training.storybook.untyped import Pipeline, UNet, diffusers

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
FEED_FORWARD = ("net.0.proj", "net.2", "proj_in", "proj_out")
CONVOLUTIONS = ("conv1", "conv2")
LORA_FILE = "pytorch_lora_weights.safetensors"


@dataclass(frozen=True)
class LoraShape:
    """Where an adapter sits, and how wide it is.

    In a UNet as small as this, attention alone does not learn a new shape: convolutions draw it.
    """

    rank: int = 8
    layers: tuple[str, ...] = (*ATTENTION, *FEED_FORWARD, *CONVOLUTIONS)

    def config(self) -> LoraConfig:
        """Return it as PEFT spells it, with a scale of 1."""
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.rank,
            target_modules=list(self.layers),
            init_lora_weights="gaussian",
        )


class Adapter(torch.nn.Module):
    """The trainable part of a UNet that has an adapter, for optimizers, averages, checkpoints."""

    def __init__(self, unet: UNet, shape: LoraShape) -> None:
        super().__init__()
        unet.requires_grad_(requires_grad=False)
        unet.add_adapter(shape.config())
        self.parts = torch.nn.ParameterList(p for p in unet.parameters() if p.requires_grad)


def save_adapter(unet: UNet, shape: LoraShape, folder: Path) -> Path:
    """Write the UNet's adapter in half precision; return the file."""
    layers: dict[str, torch.Tensor] = {
        name: value.half() for name, value in get_peft_model_state_dict(unet).items()
    }
    diffusers().StableDiffusionXLPipeline.save_lora_weights(
        folder, unet_lora_layers=layers, unet_lora_adapter_metadata=_plain(shape)
    )
    return folder / LORA_FILE


def load_adapter(pipeline: Pipeline, file: Path) -> None:
    """Have `pipeline` draw with the adapter in `file`."""
    pipeline.load_lora_weights(file.parent, weight_name=file.name, local_files_only=True)


def _plain(shape: LoraShape) -> dict[str, Any]:
    """Return the configuration with nothing in it that depends on the order of a set."""
    config: dict[str, Any] = shape.config().to_dict()
    return config | {"target_modules": sorted(shape.layers)}
