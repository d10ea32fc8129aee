"""Adapters take no more memory than they may, in main memory and on the device."""

from __future__ import annotations

import gc
from pathlib import Path

import torch
from torch import nn

from server.engine.adapters.adapter import Adapter
from server.engine.adapters.copies import Copies
from server.engine.adapters.shelf import Shelf
from tests.engine.adapters import made

CPU = torch.device("cpu")
PARTS = {"net": nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))}
ONE = 4 * 2 * (64 + 64) * 4  # bytes of rank 4 in two layers


def _adapter(seed: int) -> Adapter:
    return made.adapter(PARTS, seed, rank=4)


def test_copies_keep_to_their_budget() -> None:
    first, second, third = (_adapter(seed) for seed in range(3))
    copies = Copies("net", 2 * ONE)
    kept = copies.get(first, CPU, torch.float32)
    copies.get(second, CPU, torch.float32)
    assert copies.get(first, CPU, torch.float32) is kept
    copies.get(third, CPU, torch.float32)  # the second goes
    assert copies.get(first, CPU, torch.float32) is kept
    assert copies.size_bytes == 2 * ONE


def test_a_copy_that_is_larger_than_the_budget_is_not_kept() -> None:
    copies = Copies("net", ONE - 1)
    assert len(copies.get(_adapter(1), CPU, torch.float32).matrix) == 4
    assert copies.size_bytes == 0


def test_a_copy_goes_with_its_adapter() -> None:
    copies = Copies("net", 2**20)
    adapter = _adapter(1)
    copies.get(adapter, CPU, torch.float32)
    assert copies.size_bytes == ONE
    del adapter
    gc.collect()
    assert copies.size_bytes == 0


def test_a_file_is_read_once_while_there_is_room() -> None:
    read: list[Path] = []

    def reading(path: Path) -> Adapter:
        read.append(path)
        return _adapter(len(read))

    shelf = Shelf(reading, 2 * ONE)
    first = shelf.get("a", Path("a"))
    shelf.get("b", Path("b"))
    assert shelf.get("a", Path("a")) is first
    shelf.get("c", Path("c"))  # b goes
    assert shelf.get("a", Path("a")) is first
    assert shelf.size_bytes == 2 * ONE
    shelf.get("b", Path("b"))
    assert read == [Path("a"), Path("b"), Path("c"), Path("b")]
