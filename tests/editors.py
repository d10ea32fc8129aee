"""Small models of other tasks for tests: one that edits, and one that repaints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

EDITOR, FILLER = "scribble-edit", "scribble-fill"
# By id: which random weights it is made from, its kind, and the class its folder names. The one
# that edits really draws; the one that repaints is there to be asked what it takes.
_MADE = {
    EDITOR: ("flux", "edit", "FluxKontextPipeline"),
    FILLER: ("sdxl", "fill", "StableDiffusionXLInpaintPipeline"),
}


def add_editors(models_dir: Path, data_dir: Path) -> None:
    """Put both into the models' folder and onto the list of `data_dir`."""
    entries = []
    for model, (family, task, pipeline) in _MADE.items():
        folder = models_dir / model
        shutil.copytree(models_dir / "random" / family, folder)
        index = json.loads((folder / "model_index.json").read_text())
        index["_class_name"] = pipeline
        (folder / "model_index.json").write_text(json.dumps(index))
        entries.append(_entry(model, family, task))
    with (data_dir / "models.yaml").open("a") as file:
        file.write("models:\n" + "".join(entries))


def _entry(model: str, family: str, task: str) -> str:
    return f"""\
  - id: {model}
    name: A model that {task}s
    family: {family}
    task: {task}
    source: {{folder: {model}}}
    licence: Apache-2.0
    gated: false
    demonstration: true
    description: Random weights of another task, for tests.
    defaults: {{num_inference_steps: 2}}
    sizes: {{"1:1": 64x64, "3:2": 96x64}}
    max_pixels: 65536
"""
