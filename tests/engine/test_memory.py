from __future__ import annotations

from pathlib import Path

import pytest
import torch

from server.domain.models import Family
from server.domain.planning import GIB
from server.engine import memory
from server.engine.loading import is_out_of_memory, load
from server.engine.memory import DeviceMemory
from server.engine.parts import parts_of
from tests.engine.workers import engine_model

CPU = torch.device("cpu")
ON_A_CARD = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_the_weights_of_a_folder_are_counted_without_loading_them(
    model_folders: dict[str, Path], family: str
) -> None:
    model = engine_model("tiny", model_folders[family], Family(family))
    weights = load(model, CPU).weights
    full, half = (parts_of(model, itemsize) for itemsize in (4, 2))
    assert full is not None
    assert half is not None
    for part, loaded in (
        ("network", weights.network),
        ("encoders", weights.encoders),
        ("vae", weights.vae),
    ):
        assert getattr(full, part) == pytest.approx(loaded.size_bytes, rel=0.02)
    assert half.total == full.total / 2


def test_files_that_cannot_be_read_count_nothing(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "a.safetensors").write_bytes(b"short")
    assert parts_of(engine_model("x", tmp_path, Family.SDXL), 4) is None


def test_the_machine_says_what_is_free() -> None:
    assert 0 < memory.free_bytes(CPU) < 2**50


@pytest.mark.gpu
@ON_A_CARD
def test_a_card_gives_no_more_than_what_a_loan_leaves() -> None:
    card = torch.device("cuda", 0)
    device = DeviceMemory(card, lambda: torch.cuda.memory_allocated(card))
    device.promise(1, device.free_bytes - GIB // 4)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(GIB // 2, dtype=torch.uint8, device=card)
    finally:
        device.take_back(1)
    assert torch.empty(GIB // 2, dtype=torch.uint8, device=card).nbytes == GIB // 2


@pytest.mark.gpu
@ON_A_CARD
def test_pinned_memory_is_given_back_to_the_system() -> None:
    torch.cuda.init()  # type: ignore[no-untyped-call]
    before = memory.free_bytes(CPU)
    pinned = torch.ones(GIB, dtype=torch.uint8).pin_memory()
    assert pinned.is_pinned()
    del pinned
    memory.give_back(CPU, pipelines=True)
    assert memory.free_bytes(CPU) > before - GIB // 2


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


def test_what_was_promised_to_others_is_not_taken_even_before_they_take_it() -> None:
    held = 3 * GIB
    device = DeviceMemory(CPU, lambda: held, budget_bytes=10 * GIB)
    assert (device.free_bytes, device.capacity_bytes) == (7 * GIB, 10 * GIB)
    device.promise(1, 4 * GIB)
    device.promise(2, 2 * GIB)
    assert (device.free_bytes, device.promised_bytes) == (GIB, 6 * GIB)
    held = 2 * GIB  # what we give back is ours again, and no more than that
    assert device.free_bytes == 2 * GIB
    device.take_back(1)
    device.take_back(1)
    assert device.free_bytes == 6 * GIB
    device.take_back(2)
    assert (device.free_bytes, device.promised_bytes) == (8 * GIB, 0)
