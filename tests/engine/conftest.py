"""Small real-class models, written once a session."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from server.domain.models import EngineModel, Family, ModelPart
from tests.engine.workers import DAMAGED, HUGE, SOURCE, engine_model


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import torch

    from server.engine import tiny

    torch.set_num_threads(1)  # for networks this small a second thread only waits
    root = tmp_path_factory.mktemp("models")
    for family in tiny.MAKERS:
        tiny.write(family, root / family)
    return {family: root / family for family in tiny.MAKERS}


@pytest.fixture(scope="session")
def runaway_weights(
    model_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Weights so large that no number survives the first step."""
    from safetensors.torch import load_file, save_file

    weights = load_file(model_folders["sdxl"] / "unet" / "diffusion_pytorch_model.safetensors")
    path = tmp_path_factory.mktemp("runaway") / "unet.safetensors"
    save_file({name: value * 1e30 for name, value in weights.items()}, path)
    return path


@pytest.fixture(scope="session")
def models(
    model_folders: dict[str, Path], runaway_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, EngineModel]:
    empty = tmp_path_factory.mktemp("empty")
    return {
        "tiny": engine_model("tiny", model_folders["sdxl"], Family.SDXL),
        "another": engine_model("another", model_folders["sdxl"], Family.SDXL),
        "tiny-flux": engine_model("tiny-flux", model_folders["flux"], Family.FLUX),
        "runaway": engine_model(
            "runaway",
            model_folders["sdxl"],
            Family.SDXL,
            (ModelPart(kind="unet", path=str(runaway_weights)),),
        ),
        "broken": engine_model("broken", empty, Family.SDXL),
    }


@pytest.fixture(scope="session")
def sources() -> dict[str, bytes]:
    out = io.BytesIO()
    Image.new("RGB", (200, 100), "teal").save(out, "PNG")
    return {SOURCE: out.getvalue(), DAMAGED: b"no picture", HUGE: bytes(65 * 1024**2)}
