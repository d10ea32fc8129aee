"""Adapters for the shipped model: taught characters, few steps; diffusers and the engine agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from server.domain.models import Family, ModelPart
from server.engine.families.base import Pictures
from server.engine.families.sdxl import SdxlFamily
from server.engine.loading import load
from tests.engine import sdxl_reference
from tests.engine.drawing import difference, finish
from tests.engine.drawing import request as ask
from tests.engine.workers import engine_model
from training.storybook.evaluation import draw_texts
from training.storybook.few_steps import FewStepRecipe, draw_lesson, train_few_steps
from training.storybook.loop import CHECKPOINT, Schedule
from training.storybook.lora import LoraShape, load_adapter
from training.storybook.models import Denoiser
from training.storybook.sampling import Sampling
from training.storybook.teaching import (
    NEWCOMERS,
    SEEN_SETTINGS,
    UNSEEN_SETTINGS,
    TeachingRecipe,
    named_caption,
    own_scenes,
    teach,
    unseen_scenes_of,
)
from training.storybook.trajectories import (
    TrajectoryRecipe,
    clean_from_velocity,
    follow,
    keep_trajectories,
    velocity_of_step,
)
from training.storybook.untyped import Pipeline, diffusers
from training.storybook.workshop import open_model
from training.storybook.world.vocabulary import HELD_OUT_SPECIES

# diffusers 0.42 hands a tensor to numpy in a way that numpy 2 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHIPPED = Path(__file__).parents[3] / "server" / "assets" / "storybook-xl"
SHORT = Schedule(3, 2e-2, warmup=1, checkpoint_every=2, log_every=2)
FEW = FewStepRecipe(
    TrajectoryRecipe(count=4, teacher_steps=4), LoraShape(2), SHORT, batch_size=2, decay=0.5
)
TEACHING = TeachingRecipe(LoraShape(2), SHORT, batch_size=2, prior_pictures=4)
PROMPT = "a zorbo in the snow"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    return teach(NEWCOMERS[0], TEACHING, open_model(SHIPPED), folder, bfloat16=False)


@pytest.fixture(scope="module")
def few_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state") / "few"
    return train_few_steps(FEW, open_model(SHIPPED), folder, bfloat16=False)


def latents_of_the_engine(pipeline: Pipeline, file: Path) -> torch.Tensor:
    family = SdxlFamily(pipeline)
    mix = ((family.read_adapter(file), 1.0),)
    asked = ask(prompt=PROMPT, guidance_scale=3.0)
    with torch.inference_mode():
        row = family.prepare(asked, family.encode(asked, mix), 0, Pictures(), mix)
    finish(family, [row])
    return row.latents


@pytest.mark.parametrize("kind", ["taught", "few_steps"])
def test_the_engine_draws_with_a_trained_adapter_as_diffusers_does(
    kind: str, request: pytest.FixtureRequest
) -> None:
    file: Path = request.getfixturevalue(kind)
    theirs, plain = open_model(SHIPPED), open_model(SHIPPED)
    load_adapter(theirs, file)
    ours = latents_of_the_engine(open_model(SHIPPED), file)
    asked = ask(prompt=PROMPT, guidance_scale=3.0)
    assert difference(ours, sdxl_reference.latents(theirs, asked)) < 1e-4
    assert difference(ours, sdxl_reference.latents(plain, asked)) > 1e-3


def test_an_adapter_as_a_part_of_an_entry_draws_the_same(few_steps: Path) -> None:
    part = ModelPart(kind="adapter", path=str(few_steps))
    family = load(engine_model("quick", SHIPPED, Family.SDXL, (part,)), torch.device("cpu"))
    theirs = open_model(SHIPPED)
    load_adapter(theirs, few_steps)
    asked = ask(prompt=PROMPT, guidance_scale=1.0)
    with torch.inference_mode():
        row = family.prepare(asked, family.encode(asked), 0, Pictures())
    finish(family, [row])
    assert difference(row.latents, sdxl_reference.latents(theirs, asked)) < 1e-4


def test_adapters_are_half_precision(taught: Path) -> None:
    tensors = load_file(taught)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert all(name.startswith("unet.") for name in tensors)


def test_teaching_that_is_started_again_ends_the_same(taught: Path, tmp_path: Path) -> None:
    def run(schedule: Schedule) -> Path:
        recipe = replace(TEACHING, schedule=schedule)
        return teach(NEWCOMERS[0], recipe, open_model(SHIPPED), tmp_path, bfloat16=False)

    run(SHORT)
    kept = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert kept["step"] == SHORT.steps
    again = run(SHORT)
    expected = load_file(taught)
    assert all(torch.equal(value, expected[name]) for name, value in load_file(again).items())


def test_newcomers_are_held_out_and_asked_for_where_they_never_were() -> None:
    assert {newcomer.species for newcomer in NEWCOMERS} == set(HELD_OUT_SPECIES)
    assert not set(SEEN_SETTINGS) & set(UNSEEN_SETTINGS)
    for newcomer in NEWCOMERS:
        scenes = unseen_scenes_of(newcomer, 30)
        assert {scene.setting for scene in scenes} == set(UNSEEN_SETTINGS)
        assert {scene.setting for scene in own_scenes(newcomer)} == set(SEEN_SETTINGS)
        words = " ".join(named_caption(newcomer, scene, i) for i, scene in enumerate(scenes))
        assert newcomer.name in words
        assert newcomer.species not in words.split()
        assert newcomer.colour not in words.split()


def test_the_teacher_is_followed_as_diffusers_own_solver_goes() -> None:
    pipeline = open_model(SHIPPED)
    teacher = Denoiser(pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2)
    prompt, recipe = "a blue cat at night", TrajectoryRecipe(student_steps=2, teacher_steps=8)
    noise = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(3))
    tokens = pipeline.tokenizer(
        [prompt], padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    ours = follow(teacher, pipeline.scheduler, tokens, noise, recipe, bfloat16=False)
    # The same equation: where the first sigma ends at the same time, only rounding differs.
    pipeline.scheduler = diffusers().DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++", solver_order=2
    )
    theirs = pipeline(
        prompt,
        latents=noise,
        num_inference_steps=8,
        guidance_scale=recipe.guidance_scale,
        output_type="latent",
        height=64,
        width=64,
    ).images
    assert ours.shape == (1, 3, 4, 16, 16)
    assert difference(ours[:, -1], theirs) < 2e-2


def test_one_step_with_the_wanted_velocity_leads_to_the_next_point() -> None:
    generator = torch.Generator().manual_seed(0)
    x, following = (torch.randn(2, 4, 3, 3, generator=generator) for _ in range(2))
    sigma, after = torch.tensor(4.0), torch.tensor(1.5)
    clean = clean_from_velocity(x, velocity_of_step(x, following, sigma, after), sigma)
    assert torch.allclose(x + (after - sigma) * (x - clean) / sigma, following, atol=1e-5)


def test_trajectories_are_kept_and_lessons_are_the_same_again(tmp_path: Path) -> None:
    pipeline = open_model(SHIPPED)
    first = keep_trajectories(FEW.trajectories, pipeline, tmp_path, bfloat16=False)
    (shard,) = tmp_path.iterdir()
    written = shard.stat().st_mtime_ns
    again = keep_trajectories(FEW.trajectories, pipeline, tmp_path, bfloat16=False)
    assert shard.stat().st_mtime_ns == written
    assert first.points.shape == (4, 5, 4, 16, 16)
    assert first.sigmas[-1] == 0
    lessons = [draw_lesson(each, FEW, 7) for each in (first, again)]
    assert torch.equal(lessons[0].x, lessons[1].x)
    assert not torch.equal(lessons[0].x, draw_lesson(first, FEW, 8).x)


@pytest.mark.slow
def test_five_pictures_teach_a_character_in_a_hundred_steps(tmp_path: Path) -> None:
    from server.likeness.embedder import STORYBOOK_CRITIC, load_embedder
    from training.storybook.teaching_scores import Judge

    newcomer = NEWCOMERS[0]
    recipe = replace(TeachingRecipe(), schedule=Schedule(100, 3e-3, 10, 0.0, 0.05))
    file = teach(newcomer, recipe, open_model(SHIPPED), tmp_path, bfloat16=False)
    scenes = unseen_scenes_of(newcomer, 10)
    texts = tuple(named_caption(newcomer, scene, i) for i, scene in enumerate(scenes))
    judge, pipeline = Judge.of(load_embedder(STORYBOOK_CRITIC), 64), open_model(SHIPPED)
    how = Sampling(num_inference_steps=12)
    before = judge.recognised(newcomer, draw_texts(pipeline, scenes, texts, 5, how).pictures)
    load_adapter(pipeline, file)
    after = judge.recognised(newcomer, draw_texts(pipeline, scenes, texts, 5, how).pictures)
    assert before.right == 0
    assert after.right >= 4
