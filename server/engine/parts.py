"""What a model's weights take in memory, from the headers of its files. Torch-free."""

from __future__ import annotations

import functools
import json
import math
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from server.domain.models import EngineModel
from server.domain.planning import Parts

# Where a single file keeps what is not the network.
_ENCODER_KEYS = ("conditioner.", "cond_stage_model.", "text_encoders.")
_VAE_KEYS = ("first_stage_model.", "vae.")


@functools.lru_cache(maxsize=64)
def parts_of(model: EngineModel, itemsize: int) -> Parts | None:
    """Return what a model's weights take in memory, from its files' headers.

    Args:
        model: whose files lie here.
        itemsize: bytes of a number in the dtype that it runs in.

    Returns:
        None where the files cannot be read, or are not of a model.
    """
    path = Path(model.source.path)
    counted = Counter[str]()
    try:
        if model.source.kind == "single_file":
            for name, count in _values(path):
                counted[_part_of_key(name)] += count
        else:
            for file in _weight_files(path):
                counted[_part_of_folder(file.parent.name)] += sum(n for _, n in _values(file))
    except (OSError, ValueError, KeyError, struct.error):
        return None  # loading will say what is wrong
    if not counted["network"]:
        return None
    size = itemsize
    return Parts(counted["network"] * size, counted["encoders"] * size, counted["vae"] * size, size)


def _part_of_folder(name: str) -> str:
    if name.startswith("text_encoder"):
        return "encoders"
    return "vae" if name.startswith("vae") else "network"


def _part_of_key(name: str) -> str:
    if name.startswith(_ENCODER_KEYS):
        return "encoders"
    return "vae" if name.startswith(_VAE_KEYS) else "network"


def _weight_files(folder: Path) -> Iterable[Path]:
    """Yield a folder's weight files, of two precisions only one."""
    for file in folder.glob("*/*.safetensors"):
        if (
            ".fp16." not in file.name
            or not file.with_name(file.name.replace(".fp16.", ".")).exists()
        ):
            yield file


def _values(file: Path) -> Iterator[tuple[str, int]]:
    """Yield how many numbers each tensor of a .safetensors file holds: length, then JSON."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(min(length, 100_000_000)))
    for name, entry in header.items():
        if name[:2] != "__":
            yield name, math.prod(entry["shape"])
