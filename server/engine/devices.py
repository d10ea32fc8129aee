"""Which devices there are, found without importing torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_DRIVER = Path("/proc/driver/nvidia/gpus")


def find_devices(
    asked: Sequence[str], environment: Mapping[str, str] = os.environ, driver: Path = _DRIVER
) -> tuple[str, ...]:
    """Return the devices to start a worker on, such as cuda:0 or cpu.

    `auto` stands for every NVIDIA card that the driver lists and CUDA_VISIBLE_DEVICES leaves, or
    the CPU where there is none or torch is a CPU build.
    """
    found: list[str] = []
    for name in asked:
        found += _cards(environment, driver) or ["cpu"] if name == "auto" else [name]
    return tuple(dict.fromkeys(found))


def _cards(environment: Mapping[str, str], driver: Path) -> list[str]:
    try:
        if version("torch").endswith("+cpu"):
            return []
    except PackageNotFoundError:
        return []
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # torch numbers the visible cards anew, from 0; -1 ends the list.
        names = [name.strip() for name in visible.split(",")]
        count = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    else:
        count = len(list(driver.iterdir())) if driver.is_dir() else 0
    return [f"cuda:{index}" for index in range(count)]
