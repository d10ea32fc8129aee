"""Small real-class models, written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import torch

    from server.engine import tiny

    torch.set_num_threads(1)  # for networks this small a second thread only waits
    root = tmp_path_factory.mktemp("models")
    for family in tiny.MAKERS:
        tiny.write(family, root / family)
    return {family: root / family for family in tiny.MAKERS}
