from __future__ import annotations

from pathlib import Path

import pytest
import torch

from server.domain.models import Family, ModelPart
from server.engine import memory
from server.engine.loading import is_out_of_memory, load
from server.engine.residents import Residents
from tests.engine.workers import engine_model

CPU = torch.device("cpu")


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_the_weights_of_a_folder_are_counted_without_loading_them(
    model_folders: dict[str, Path], family: str
) -> None:
    model = engine_model("tiny", model_folders[family], Family(family))
    pipeline = load(model, CPU)._pipeline  # type: ignore[attr-defined]  # noqa: SLF001
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    loaded = sum(weights.numel() * 4 for part in parts for weights in part.parameters())
    assert memory.weight_bytes(model, torch.float32) == pytest.approx(loaded, rel=0.01)
    assert memory.weight_bytes(model, torch.bfloat16) == pytest.approx(loaded / 2, rel=0.01)


def test_files_that_cannot_be_read_count_nothing(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "a.safetensors").write_bytes(b"short")
    assert memory.weight_bytes(engine_model("x", tmp_path, Family.SDXL), torch.float32) == 0


def test_the_machine_says_what_is_free() -> None:
    assert 0 < memory.free_bytes(CPU) < 2**50


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (MemoryError(), True),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_all_that_a_full_device_says_is_understood(error: Exception, *, is_memory: bool) -> None:
    assert is_out_of_memory(error) is is_memory


def test_a_model_is_loaded_once_and_again_when_it_changes(model_folders: dict[str, Path]) -> None:
    told: list[tuple[tuple[str, ...], str | None]] = []
    residents = Residents(CPU, lambda models, loading: told.append((models, loading)))
    sdxl = engine_model("a", model_folders["sdxl"], Family.SDXL)
    flux = engine_model("b", model_folders["flux"], Family.FLUX)
    first = residents.get(sdxl)
    residents.get(flux)
    assert residents.get(sdxl) is first
    assert told == [((), "a"), (("a",), None), (("a",), "b"), (("a", "b"), None)]
    unet = model_folders["sdxl"] / "unet" / "diffusion_pytorch_model.safetensors"
    changed = engine_model(
        "a", model_folders["sdxl"], Family.SDXL, (ModelPart(kind="unet", path=str(unet)),)
    )
    assert residents.get(changed) is not first
    assert told[-2:] == [(("b",), "a"), (("b", "a"), None)]
