"""How much memory a device has left, and how much a model's weights will take."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from pathlib import Path

import torch

from server.domain.models import EngineModel

HEADROOM = 1.1  # of a model's weights: what loading and drawing need beside them

_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """Return how much a new model may take on `device`."""
    if device.type == "cuda":
        held_unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + held_unused
    return min(_available_bytes(), _cgroup_bytes())


def weight_bytes(model: EngineModel, dtype: torch.dtype) -> int:
    """Return the size of a model's weights in memory, from its files' headers; 0 if unreadable."""
    path = Path(model.source.path)
    files = [path] if model.source.kind == "single_file" else _weight_files(path)
    try:
        return sum(_values(file) for file in files) * dtype.itemsize
    except (OSError, ValueError, KeyError, struct.error):
        return 0  # loading will say what is wrong


def _weight_files(folder: Path) -> Iterable[Path]:
    """Yield a folder's weight files, of two precisions only one."""
    for file in folder.glob("*/*.safetensors"):
        if (
            ".fp16." not in file.name
            or not file.with_name(file.name.replace(".fp16.", ".")).exists()
        ):
            yield file


def _values(file: Path) -> int:
    """Return how many numbers a .safetensors file holds: its header is length, then JSON."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(min(length, 100_000_000)))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name[:2] != "__")


def _available_bytes() -> int:
    """Return what Linux says can be had without swapping; elsewhere, no limit is known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 2**62
    kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
    return int(kilobytes) * 1024


def _cgroup_bytes() -> int:
    """Return what a container's own limit leaves."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return 2**62
    return 2**62 if limit == "max" else max(0, int(limit) - used)
