"""Writes a finished model in the hub layout: half precision, safetensors, nothing of ours."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from training.storybook.tokenizers import save_tokenizer
from training.storybook.untyped import Pipeline

CHECKSUMS = "SHA256SUMS"


def save_pipeline(pipeline: Pipeline, folder: Path) -> None:
    """Write the pipeline so that plain `from_pretrained` loads it, with the weights' checksums."""
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    save_tokenizer(pipeline.tokenizer, folder / "tokenizer")
    save_tokenizer(pipeline.tokenizer_2, folder / "tokenizer_2")
    for name in ("text_encoder", "text_encoder_2"):
        _compute_in_full_precision(folder / name / "config.json")
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


def _compute_in_full_precision(config: Path) -> None:
    """Have a text encoder load like the UNet: transformers follows the file, diffusers does not."""
    values = json.loads(config.read_text()) | {"dtype": "float32"}
    config.write_text(json.dumps(values, indent=2) + "\n")
