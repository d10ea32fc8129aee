"""Small networks, and one thread: for networks this small a second one only waits."""

from __future__ import annotations

import pytest
import torch

from server.engine import tiny
from tests.engine.adapters import made
from tests.engine.adapters.made import Networks


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def sdxl_networks() -> Networks:
    pipeline = tiny.make_sdxl()
    return {name: getattr(pipeline, name) for name in ("unet", *made.TEXT)}


@pytest.fixture(scope="session")
def flux_networks() -> Networks:
    pipeline = tiny.make_flux()
    return {name: getattr(pipeline, name) for name in ("transformer", *made.TEXT)}
