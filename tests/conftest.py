"""Fixtures that several rooms share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def scribble_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder in which the two models of random weights are ready."""
    folder = tmp_path_factory.mktemp("models")
    for model in ("scribble-xl", "scribble-flux"):
        subprocess.run(  # noqa: S603
            [sys.executable, "-m", "server", "models", "pull", model],
            cwd=REPOSITORY,
            check=True,
            env={
                **os.environ,
                "GREENROOM_MODELS_DIR": str(folder),
                "GREENROOM_DATA_DIR": str(tmp_path_factory.mktemp("data")),
            },
        )
    return folder
