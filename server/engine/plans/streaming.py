"""A network that waits in main memory and comes to the device block by block (group offload)."""

from __future__ import annotations

from typing import Literal

import torch
from diffusers.hooks import HookRegistry, apply_group_offloading
from torch import nn

_HOST = torch.device("cpu")


def stream(module: nn.Module, device: torch.device, *, by: Literal["block", "leaf"]) -> None:
    """Let `module` stay in main memory, where it is; each part is on `device` while it computes.

    On CUDA the next part is copied while one computes. With the CPU as device every step is the
    same, but for the copying. The numbers are those of a resident module.

    Args:
        module: in main memory.
        device: where it computes.
        by: block for networks, whose blocks lie in lists of their own; leaf for text encoders.
    """
    apply_group_offloading(
        module,
        onload_device=device,
        offload_device=_HOST,
        offload_type="block_level" if by == "block" else "leaf_level",
        num_blocks_per_group=1 if by == "block" else None,
        use_stream=device.type == "cuda",
    )


def settle_down(module: nn.Module) -> None:
    """End the streaming of `module`, which stays in main memory."""
    HookRegistry.check_if_exists_or_initialize(module).remove_hook("group_offloading", recurse=True)
    module.to(_HOST)
