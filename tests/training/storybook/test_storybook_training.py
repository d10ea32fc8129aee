"""The whole recipe, shortened: it trains, resumes, and writes what plain diffusers loads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from training.storybook.autoencoder import AutoencoderRecipe, psnr
from training.storybook.books import FirstBook
from training.storybook.critic import ATTRIBUTES, Critic, CriticShape
from training.storybook.critic_lessons import LessonPlan
from training.storybook.critic_training import CriticRecipe
from training.storybook.denoiser import DenoiserRecipe, draw_batch
from training.storybook.export import CHECKSUMS, digest, weight_bytes, weight_files
from training.storybook.latents import (
    COARSE_EVERY,
    LatentRecipe,
    Latents,
    original_size,
    training_picture,
)
from training.storybook.loop import Schedule
from training.storybook.models import AutoencoderShape, DenoiserShape
from training.storybook.pictures import training_pictures
from training.storybook.untyped import Pipeline, diffusers
from training.storybook.workshop import StorybookXl, Workshop

# diffusers 0.42 hands a tensor to numpy in a way that numpy 2 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHORT = Schedule(4, 2e-3, warmup=1, checkpoint_every=2, log_every=2)
RECIPE = StorybookXl(
    AutoencoderRecipe(
        AutoencoderShape((8, 8, 16), 4, 4),
        SHORT,
        batch_size=4,
        size=32,
        world_pictures=24,
        scribbled_pictures=8,
    ),
    LatentRecipe(pictures=40, captions=2, sizes=((32, 32),)),
    DenoiserRecipe(
        DenoiserShape((16, 16, 32), (1, 1, 2), 8, (16, 32), 2, 8), SHORT, batch_size=8, size=32
    ),
    CriticRecipe(
        CriticShape((8, 16, 16, 16)),
        LessonPlan(2, 1, 2, creatures=4, creature_pictures=3),
        SHORT,
        characters=6,
        views=2,
        size=32,
    ),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("storybook")
    torch.set_num_threads(1)
    Workshop(folder, RECIPE, bfloat16=False).pipeline()
    return folder


def load(folder: Path) -> Pipeline:
    pipeline = diffusers().StableDiffusionXLPipeline.from_pretrained(folder / "storybook-xl")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw_twice(pipeline: Pipeline, prompt: str) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    size = {"height": 32, "width": 32}
    drawn = pipeline(prompt, num_inference_steps=2, generator=generator, output_type="np", **size)
    return np.asarray(drawn.images[0])


def test_the_pipeline_loads_with_plain_diffusers_and_draws(trained: Path) -> None:
    pipeline = load(trained)
    cat, bear = draw_twice(pipeline, "a red cat"), draw_twice(pipeline, "a blue bear")
    assert cat.shape == (32, 32, 3)
    assert np.isfinite(cat).all()
    assert not np.array_equal(cat, bear)
    assert np.array_equal(cat, draw_twice(pipeline, "a red cat"))


def test_the_pipeline_states_how_it_was_trained(trained: Path) -> None:
    pipeline = load(trained)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.scheduler.config.timestep_spacing == "trailing"
    assert pipeline.config.force_zeros_for_empty_prompt
    widths = (pipeline.text_encoder.config.hidden_size, pipeline.text_encoder_2.config.hidden_size)
    assert widths == (16, 32)
    latents = pipeline.vae.config
    assert latents.scaling_factor != pytest.approx(0.18215)


def test_weights_are_half_precision_and_have_checksums(trained: Path) -> None:
    folder = trained / "storybook-xl"
    files = weight_files(folder)
    assert [path.parent.name for path in files] == ["text_encoder", "text_encoder_2", "unet", "vae"]
    for path in files:
        assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
    stated = (folder / CHECKSUMS).read_text().splitlines()
    assert stated == [f"{digest(path)}  {path.relative_to(folder)}" for path in files]
    assert weight_bytes(folder) == sum(path.stat().st_size for path in files)


def test_nothing_written_says_where_it_was_made(trained: Path) -> None:
    for path in (trained / "storybook-xl").rglob("*.json"):
        assert str(trained) not in path.read_text()


def test_a_sheet_is_kept_for_every_checkpoint(trained: Path) -> None:
    assert [path.name for path in sorted((trained / "sheets").iterdir())] == [
        "000002.png",
        "000004.png",
    ]


def test_a_run_that_is_thrown_away_half_way_ends_the_same(trained: Path, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    class Interrupted(Workshop):
        def _show(self, *_: object) -> None:
            raise StoppedError

    with pytest.raises(StoppedError):
        Interrupted(tmp_path, RECIPE, bfloat16=False).pipeline()
    Workshop(tmp_path, RECIPE, bfloat16=False).pipeline()
    for path in weight_files(trained / "storybook-xl"):
        other = tmp_path / path.relative_to(trained)
        assert digest(other) == digest(path)


def test_the_critic_is_saved_in_a_form_that_transformers_loads(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, RECIPE, bfloat16=False)
    critic = workshop.critic()
    pictures = [training_picture(FirstBook(), i, (32, 32)) for i in range(3)]
    loaded = Critic.load(tmp_path / "critic" / "finished")
    assert loaded.describe(pictures) == critic.describe(pictures)
    assert set(loaded.heads) == set(ATTRIBUTES)


def test_the_autoencoder_is_measured_in_decibels(trained: Path) -> None:
    model = diffusers().AutoencoderKL.from_pretrained(trained / "storybook-xl" / "vae").eval()
    assert 3 < psnr(model, training_pictures(FirstBook(), range(4), 32)) < 30


def test_a_step_always_draws_the_same_batch() -> None:
    latents = Latents(
        torch.randn(10, 8, 4, 6).half(),
        torch.zeros(10, 2, 5).long(),
        torch.full((10, 2), 32),
        (48, 32),
    )
    recipe = RECIPE.denoiser
    first, again, other = (draw_batch(latents, recipe, 0.5, step) for step in (3, 3, 4))
    assert torch.equal(first.latents, again.latents)
    assert not torch.equal(first.latents, other.latents)
    assert first.time_ids.tolist()[0] == [32, 32, 0, 0, 32, 48]


def test_coarse_pictures_say_their_original_size() -> None:
    sizes = {original_size(seed, (64, 32)) for seed in range(200)}
    assert sizes == {(24, 12), (32, 16), (40, 20), (48, 24), (64, 32)}
    book = FirstBook()
    coarse = np.asarray(training_picture(book, COARSE_EVERY, (64, 64)), dtype=np.float32)
    assert original_size(COARSE_EVERY, (64, 64)) < (64, 64)
    crisp = np.asarray(training_picture(book, COARSE_EVERY + 1, (64, 64)), dtype=np.float32)
    assert np.abs(np.diff(coarse, axis=1)).max() < np.abs(np.diff(crisp, axis=1)).max()


@pytest.mark.slow
def test_the_command_survives_being_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.storybook", "critic", "--state", str(tmp_path)]
    checkpoint = tmp_path / "critic" / "checkpoint.pt"
    for _ in range(2):
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S603
        seen = checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
        while process.poll() is None and not _newer(checkpoint, seen):
            time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert int(torch.load(checkpoint, weights_only=True)["step"]) >= 400


def _newer(path: Path, than: float) -> bool:
    return path.exists() and path.stat().st_mtime > than
