"""Writes a finished model in the hub layout: half precision, safetensors, nothing of ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from training.storybook.tokenizers import save_tokenizer
from training.storybook.untyped import Pipeline

CHECKSUMS = "SHA256SUMS"
ORIGINS = {"_name_or_path", "name_or_path"}
Json = dict[str, Any]


def save_pipeline(pipeline: Pipeline, folder: Path) -> None:
    """Write the pipeline so that plain `from_pretrained` loads it, with the weights' checksums."""
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    save_tokenizer(pipeline.tokenizer, folder / "tokenizer")
    save_tokenizer(pipeline.tokenizer_2, folder / "tokenizer_2")
    for name in ("text_encoder", "text_encoder_2"):
        _rewrite(folder / name / "config.json", _in_full_precision)
    for config in folder.rglob("*.json"):
        _rewrite(config, _without_origin)
    write_checksums(folder)


def write_checksums(folder: Path) -> None:
    """Write the hashes of all weights in the folder, as `sha256sum -c` reads them."""
    lines = (f"{digest(path)}  {path.relative_to(folder)}" for path in weight_files(folder))
    (folder / CHECKSUMS).write_text("\n".join(lines) + "\n")


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights, sorted by path."""
    return sorted(folder.rglob("*.safetensors"))


def weight_bytes(folder: Path) -> int:
    """Return the size of all weights together."""
    return sum(path.stat().st_size for path in weight_files(folder))


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _rewrite(config: Path, change: Callable[[Json], Json]) -> None:
    values = json.loads(config.read_text())
    changed = change(values)
    if changed != values:
        config.write_text(json.dumps(changed, indent=2) + "\n")


def _in_full_precision(values: Json) -> Json:
    """Have a text encoder load like the UNet: transformers follows the file, diffusers does not."""
    return values | {"dtype": "float32"}


def _without_origin(values: Json) -> Json:
    """Leave out where on this machine a part was loaded from."""
    return {name: value for name, value in values.items() if name not in ORIGINS}
