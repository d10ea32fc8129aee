"""The shipped model as one file: the command writes it, plain diffusers and the server read it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from server.domain.models import Family, ModelSource
from server.engine.loading import load
from tests.engine.drawing import begin, finish, request
from tests.engine.workers import engine_model
from training.storybook.sampling import Sampling, sample
from training.storybook.untyped import Pipeline, diffusers

# diffusers 0.42 hands a tensor to numpy in a way that numpy 2 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHIPPED = Path(__file__).parents[3] / "server" / "assets" / "storybook-xl"
HOW = Sampling(num_inference_steps=4, guidance_scale=3.0)


@pytest.fixture(scope="module")
def single_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("single") / "storybook.safetensors"
    command = [sys.executable, "-m", "training.storybook.single_file", str(SHIPPED), str(file)]
    subprocess.run(command, check=True)  # noqa: S603
    return file


def opened(pipeline: Pipeline) -> Pipeline:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_plain_diffusers_draws_the_same_from_the_single_file(single_file: Path) -> None:
    torch.set_num_threads(1)
    kind = diffusers().StableDiffusionXLPipeline
    folder = opened(kind.from_pretrained(SHIPPED))
    one = opened(
        kind.from_single_file(
            str(single_file), config=str(SHIPPED), local_files_only=True, dtype=torch.float32
        )
    )
    prompts = ["a red cat in the snow", "a blue robot at night, ink"]
    for a, b in zip(sample(folder, prompts, 3, HOW), sample(one, prompts, 3, HOW), strict=True):
        assert np.array_equal(np.asarray(a), np.asarray(b))


def test_the_engine_draws_the_same_from_the_single_file(single_file: Path) -> None:
    source = ModelSource(kind="single_file", path=str(single_file), config=str(SHIPPED))
    folder = engine_model("folder", SHIPPED, Family.SDXL)
    latents = []
    for model in (folder, folder.model_copy(update={"source": source})):
        family = load(model, torch.device("cpu"))
        row = begin(family, request(prompt="a red cat in the snow"))
        finish(family, [row])
        latents.append(row.latents)
    assert torch.equal(*latents)


def test_another_ending_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.storybook.single_file", str(SHIPPED)]
    done = subprocess.run(  # noqa: S603
        [*command, str(tmp_path / "model.ckpt")], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "should end in .safetensors" in done.stderr
