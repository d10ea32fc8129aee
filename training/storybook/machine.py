"""What this machine is good at; the recipes ask here instead of guessing."""

from __future__ import annotations

from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")


def fast_bfloat16() -> bool:
    """Return whether bfloat16 is faster than float32 on this processor."""
    flags = CPU_INFO.read_text() if CPU_INFO.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def use_one_thread() -> None:
    """Leave the other cores to other work; two training threads were slower than one."""
    torch.set_num_threads(1)
