"""A network that waits in main memory and comes to the device block by block (group offload)."""

from __future__ import annotations

import torch
from diffusers.hooks import apply_group_offloading
from torch import nn

_HOST = torch.device("cpu")


def stream(network: nn.Module, device: torch.device) -> None:
    """Keep `network` in main memory; each of its blocks is on `device` while it computes.

    On CUDA the next block is copied while one computes. With the CPU as device every step is the
    same, but for the copying. The numbers are those of a resident network.
    """
    network.to(_HOST)
    apply_group_offloading(
        network,
        onload_device=device,
        offload_device=_HOST,
        offload_type="block_level",
        num_blocks_per_group=1,
        use_stream=device.type == "cuda",
    )
