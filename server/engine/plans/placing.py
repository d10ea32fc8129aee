"""Puts a loaded pipeline where its plan says, as its plan says."""

from __future__ import annotations

import torch
from diffusers import DiffusionPipeline
from torch import nn

from server.domain.plans import Plan
from server.engine.plans.quantization import quantise
from server.engine.plans.streaming import stream


def place(
    pipeline: DiffusionPipeline, network: nn.Module, device: torch.device, plan: Plan
) -> None:
    """Quantise and stream the denoising `network` as `plan` says; all else goes to `device`.

    `why_not` has been asked before. What a plan says of single pictures, their families do.
    """
    quantise(network, plan.weights, device)
    if plan.offload == "none":
        pipeline.to(device)
        return
    for part in pipeline.components.values():
        if isinstance(part, nn.Module) and part is not network:
            part.to(device)
    stream(network, device)
