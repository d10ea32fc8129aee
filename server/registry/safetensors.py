"""What a `.safetensors` file says about itself, read from its header alone and with suspicion."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

_MAX_HEADER_BYTES = 64 * 2**20  # FLUX.1's is 0.1 MiB; the format itself allows 100 MB
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16}
_BITS |= {"F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}
_SAMPLED_TENSORS = 512
_SAMPLE_BYTES = 256
# Present in SDXL's original layout and in no other model's.
_SDXL_PREFIX = "conditioner.embedders.1."
_UNET_PREFIX = "model.diffusion_model."


class WeightsError(Exception):
    """The file is no sound safetensors file; the message says why, without its path."""


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header: where each tensor's bytes lie in the file."""

    size_bytes: int
    spans: dict[str, tuple[int, int]]  # name: first byte in the file, and one after the last
    digest: str  # of the header's own bytes

    @property
    def is_sdxl_checkpoint(self) -> bool:
        """Whether this is a whole SDXL model with the key names of its first release."""
        return any(name.startswith(_SDXL_PREFIX) for name in self.spans) and any(
            name.startswith(_UNET_PREFIX) for name in self.spans
        )


def read_header(path: Path) -> Header:
    """Return the header of the file at `path`.

    Raises:
        WeightsError: it is something else, cut off, or claims what cannot be.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        first = file.read(8)
        if len(first) < 8:
            raise WeightsError("it is too short to be a safetensors file; fetch it again")
        length = int.from_bytes(first, "little")
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
            raise WeightsError("it does not begin as a safetensors file does; get that form of it")
        raw = file.read(length)
    spans = _spans(raw)
    end = 8 + length + max((stop for _, stop in spans.values()), default=0)
    if end != size:
        raise WeightsError(f"it has {size} bytes and should have {end}; fetch it again")
    moved = {name: (8 + length + a, 8 + length + b) for name, (a, b) in spans.items()}
    return Header(size, moved, hashlib.sha256(raw).hexdigest())


def fingerprint(path: Path, header: Header) -> str:
    """Return a mark of the file's weights: its header, and bytes from the midst of each tensor.

    Weights that were trained on or merged differ nearly everywhere, so samples tell them apart in
    milliseconds where a hash of the whole takes a minute.

    Raises:
        OSError: the file cannot be read.
    """
    mark = hashlib.sha256(f"{header.digest} {header.size_bytes}".encode())
    spans = sorted(header.spans.values())
    stride = max(1, len(spans) // _SAMPLED_TENSORS)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for start, stop in spans[::stride]:
            middle = (start + stop) // 2
            mark.update(os.pread(descriptor, min(_SAMPLE_BYTES, stop - middle), middle))
    finally:
        os.close(descriptor)
    return mark.hexdigest()


def _spans(raw: bytes) -> dict[str, tuple[int, int]]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise WeightsError("its header is damaged; fetch it again") from error
    if not isinstance(header, dict):
        raise WeightsError("its header is damaged; fetch it again")
    header.pop("__metadata__", None)
    return {name: _span(name, tensor) for name, tensor in header.items()}


def _span(name: str, tensor: object) -> tuple[int, int]:
    """Return a tensor's bytes, once its type and shape agree with them."""
    match tensor:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(stop)]}:
            whole = all(type(n) is int and 0 <= n < 2**32 for n in shape) and len(shape) <= 8
            bits = _BITS.get(dtype)
            # Kinds newer than this table pass; the library that loads them checks again.
            fits = whole and (bits is None or 8 * (stop - start) == bits * math.prod(shape))
            if 0 <= start <= stop and fits:
                return start, stop
    raise WeightsError(f"its header is wrong about '{name[:80]}'; fetch it again")
