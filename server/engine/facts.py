"""What torch can use here, as one line of JSON: `python -m server.engine.facts cuda:0 ...`.

A process of its own, so that `greenroom doctor` learns it without importing torch, and survives
when a broken build ends the process that imports it.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def facts(devices: list[str]) -> dict[str, object]:
    """Return torch's build and, for each device, its memory and what a model computes in."""
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "xformers": _xformers(),
        "torchao": _version("torchao"),
        "devices": [_device(name) for name in devices],
    }


def _device(name: str) -> dict[str, object]:
    from server.engine.loading import dtype_of
    from server.engine.memory import offer_of

    try:
        device = torch.device(name)
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            said = torch.cuda.get_device_name(device)
        else:
            free, total, said = *_memory(), "CPU"
    except (RuntimeError, AssertionError) as error:
        return {"id": name, "error": str(error).splitlines()[0]}
    dtype = str(dtype_of(device)).removeprefix("torch.")
    return {
        "id": name,
        "name": said,
        "free_bytes": free,
        "total_bytes": total,
        "dtype": dtype,
        "weights": sorted(offer_of(device).weights),
    }


def _memory() -> tuple[int, int]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    told = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.split()[1:]}
    return told["MemAvailable"], told["MemTotal"]


def _xformers() -> str:
    """Return whether xformers' attention runs here; its build must match torch's CUDA."""
    installed = _version("xformers")
    if installed is None:
        return "not installed"
    if not torch.cuda.is_available():
        return f"{installed}, not used without CUDA"
    try:
        ops = importlib.import_module("xformers.ops")
        row = torch.zeros(1, 8, 1, 64, device="cuda", dtype=torch.float16)
        ops.memory_efficient_attention(row, row, row)
    except (ImportError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        return f"{installed}, does not run here ({type(error).__name__})"
    return f"{installed}, runs"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(facts(sys.argv[1:])) + "\n")
