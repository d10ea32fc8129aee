"""Whether a plan can be carried out here, found before anything is loaded."""

from __future__ import annotations

import importlib.util

import torch

from server.domain.models import Family
from server.domain.plans import Plan

_FP8_CAPABILITY = (8, 9)  # Ada and Hopper multiply 8-bit floats; older cards do not
_INSTALL = "install Greenroom with the extra `{extra}`"


def why_not(plan: Plan, family: Family, device: torch.device) -> str | None:
    """Return why `plan` cannot be carried out for models of `family` on `device`, and the remedy.

    None: it can.
    """
    if plan.block_cache and family is not Family.FLUX:
        return "blocks are reused in FLUX.1 alone; leave block_cache out"
    if plan.block_cache and plan.offload == "group":
        return "a streamed network passes all its blocks; leave block_cache or group offload out"
    if plan.weights == "int8":
        return _missing("torchao", "quant")
    if plan.weights == "fp8":
        return _why_no_fp8(device)
    if plan.weights == "nf4":
        return _why_no_nf4(plan, device)
    return None


def _why_no_fp8(device: torch.device) -> str | None:
    if device.type != "cuda":
        return f"8-bit floats need a CUDA card, and this is {device.type}; take int8 or full"
    capability = torch.cuda.get_device_capability(device)
    if capability < _FP8_CAPABILITY:
        have, need = (".".join(map(str, pair)) for pair in (capability, _FP8_CAPABILITY))
        return f"8-bit floats need compute capability {need}, and {device} has {have}; take int8"
    return _missing("torchao", "quant")


def _why_no_nf4(plan: Plan, device: torch.device) -> str | None:
    if device.type != "cuda":
        return f"4-bit weights need a CUDA card, and this is {device.type}; take int8 or full"
    if plan.offload == "group":
        return "4-bit weights cannot be streamed; take int8, or leave group offload out"
    return _missing("bitsandbytes", "cuda")


def _missing(module: str, extra: str) -> str | None:
    if importlib.util.find_spec(module) is not None:
        return None
    return f"{module} is not installed; {_INSTALL.format(extra=extra)}"
