"""Small models.yaml files for tests."""

from __future__ import annotations

from pathlib import Path

from server.registry.registry import Registry

HEAD = """\
default: one
models:
"""
ONE = """\
  - id: one
    name: One
    family: sdxl
    source: {random: sdxl}
    licence: Apache-2.0
    gated: false
    description: The first.
    sizes: {"1:1": 128x128}
"""


def entry(model_id: str, **fields: str) -> str:
    """Return an entry as text; a field of None's text is left out, one of another text replaced."""
    known = {
        "id": model_id,
        "name": "A model",
        "family": "sdxl",
        "source": "{random: sdxl}",
        "licence": "Apache-2.0",
        "gated": "false",
        "description": "For a test.",
        "sizes": '{"1:1": 128x128}',
    }
    known.update(fields)
    lines = [f"{key}: {value}" for key, value in known.items() if value != "-"]
    return "  - " + "\n    ".join(lines) + "\n"


def registry(folder: Path, text: str | bytes, *, overlay: str | None = None) -> Registry:
    """Return a registry over `text` as models.yaml, with a data folder beside it."""
    data = text.encode() if isinstance(text, str) else text
    (folder / "models.yaml").write_bytes(data)
    (folder / "data").mkdir(exist_ok=True)
    if overlay is not None:
        (folder / "data" / "models.yaml").write_text(overlay)
    return Registry(folder / "models.yaml", folder / "data")
