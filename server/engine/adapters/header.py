"""What an adapter's file says it holds, read before any of its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from server.domain.errors import AdapterError

MAX_FILE_BYTES = 8 * 2**30  # FLUX.1 at rank 128 in fp32: about 5 GB
MAX_TENSORS = 20_000  # SDXL with every layer and both text encoders: 3,200
_MAX_HEADER_BYTES = 16 * 2**20
# What a file's numbers become in memory; all of them exactly.
_DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.bfloat16,
    "F8_E5M2": torch.bfloat16,
}
_WHOLE_NUMBERS = ("I64", "I32")  # as which some files have their alphas


@dataclass(frozen=True, slots=True)
class Header:
    """Names and shapes of all tensors, and the words that the file carries about itself."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]


class AdapterFile:
    """An open file; its numbers are read one tensor at a time."""

    def __init__(self, file: Any) -> None:  # noqa: ANN401 - safetensors' own class has no types
        self._file = file
        self.header = _header(file)

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor in main memory.

        Raises:
            AdapterError: some of its numbers are none.
        """
        dtype = _DTYPES.get(self._file.get_slice(name).get_dtype(), torch.float64)
        tensor: torch.Tensor = self._file.get_tensor(name).to(dtype)
        if not bool(torch.isfinite(tensor).all()):
            raise AdapterError(f"'{_shown(name)}' has infinite numbers; the file is spoilt")
        return tensor


@contextmanager
def opened(path: Path) -> Iterator[AdapterFile]:
    """Open the adapter at `path`.

    Raises:
        AdapterError: it is no sound safetensors file, or larger than any adapter is.
    """
    _check_size(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            yield AdapterFile(file)
    except (OSError, SafetensorError) as error:
        raise AdapterError("it is no sound safetensors file; fetch it again") from error


def _check_size(path: Path) -> None:
    if path.suffix != ".safetensors":
        raise AdapterError(
            f"'{path.suffix or path.name}' files are not read, as they can carry programs; "
            "get the adapter as .safetensors"
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
    except OSError as error:
        raise AdapterError("the file cannot be read") from error
    if size > MAX_FILE_BYTES:
        raise AdapterError(f"it has {size} bytes; an adapter has at most {MAX_FILE_BYTES}")
    if length > _MAX_HEADER_BYTES:
        raise AdapterError("it is no sound safetensors file; fetch it again")


def _header(file: Any) -> Header:  # noqa: ANN401
    names = list(file.keys())
    if not names:
        raise AdapterError("it is empty")
    if len(names) > MAX_TENSORS:
        raise AdapterError(f"it has {len(names)} tensors; an adapter has at most {MAX_TENSORS}")
    shapes = {}
    for name in names:
        facts = file.get_slice(name)
        dtype, shape = facts.get_dtype(), tuple(facts.get_shape())
        if dtype not in _DTYPES and not (dtype in _WHOLE_NUMBERS and shape in ((), (1,))):
            raise AdapterError(f"'{_shown(name)}' holds {dtype}, which are no weights")
        shapes[name] = shape
    return Header(shapes, file.metadata() or {})


def _shown(name: str) -> str:
    return name[:120]
