"""What a device is called, and how many threads a model gets on a CPU."""

from __future__ import annotations

import os
from pathlib import Path

import torch

_ENGINE = 1  # grows when forwards are run another way, such as compiled
# Below this a step is shorter than the time threads need to meet.
_PARAMETERS_FOR_THREADS = 20_000_000


def device_name(device: torch.device) -> str:
    """Return the card's name, or the processor's with its number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {len(os.sched_getaffinity(0))} cores"


def hardware(device: torch.device) -> str:
    """Return what a measurement of speed holds for: the device and the software on it."""
    return f"{device_name(device)}, torch {torch.__version__}, engine {_ENGINE}"


def use_threads_for(parameter_count: int) -> None:
    """Let this thread's operations use one core or all of them, as the network's size asks."""
    big = parameter_count >= _PARAMETERS_FOR_THREADS
    torch.set_num_threads(len(os.sched_getaffinity(0)) if big else 1)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "CPU"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "CPU")
