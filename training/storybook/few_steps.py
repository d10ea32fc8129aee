"""The few-step recipe: an adapter that takes the guided model's way in four long steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from training.storybook.denoiser import encode_tokens, use_plain_attention
from training.storybook.loop import Average, Run, Schedule, Stateful, step_generator
from training.storybook.lora import (
    ATTENTION,
    CONVOLUTIONS,
    FEED_FORWARD,
    Adapter,
    LoraShape,
    save_adapter,
)
from training.storybook.models import Denoiser
from training.storybook.trajectories import (
    Trajectories,
    TrajectoryRecipe,
    keep_trajectories,
    time_ids,
    velocity_of_step,
)
from training.storybook.untyped import Pipeline

# Unlike a character, another way of stepping changes every layer a little.
EVERYWHERE = (*ATTENTION, *FEED_FORWARD, *CONVOLUTIONS, "conv_shortcut", "conv", "time_emb_proj")


@dataclass(frozen=True)
class FewStepRecipe:
    """All that decides what the few-step adapter becomes, besides the model it is for."""

    trajectories: TrajectoryRecipe = field(default_factory=TrajectoryRecipe)
    shape: LoraShape = field(default_factory=lambda: LoraShape(16, EVERYWHERE))
    schedule: Schedule = field(default_factory=lambda: Schedule(600, 2e-3, checkpoint_every=50))
    batch_size: int = 32
    wobble: float = 0.05  # noise on the points, in sigmas: its own steps miss them by about that
    decay: float = 0.99
    seed: int = 5


@dataclass(frozen=True)
class Lesson:
    """One step's points, and the velocities that lead from each to the next."""

    x: torch.Tensor
    velocity: torch.Tensor
    sigmas: torch.Tensor  # (batch, 1, 1, 1)
    timesteps: torch.Tensor
    tokens: torch.Tensor


def train_few_steps(
    recipe: FewStepRecipe, pipeline: Pipeline, folder: Path, *, bfloat16: bool
) -> Path:
    """Train, or go on training, in `folder`; return the adapter's file."""
    trajectories = keep_trajectories(
        recipe.trajectories, pipeline, folder.parent / "trajectories", bfloat16=bfloat16
    )
    torch.manual_seed(recipe.seed)
    student = Denoiser(pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2)
    adapter = Adapter(student.unet, recipe.shape)
    use_plain_attention(student.unet)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-3, weight_decay=1e-3)
    average = Average({"adapter": adapter}, recipe.decay)

    def take_step(step: int) -> dict[str, float]:
        lesson = draw_lesson(trajectories, recipe, step)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = student_loss(student, lesson)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimizer.step()
        average.update(step)
        return {"loss": loss.item(), "gradient_norm": norm.item()}

    parts: dict[str, Stateful] = {"adapter": adapter, "optimizer": optimizer, "average": average}
    Run(folder, recipe.schedule).train(parts, optimizer, take_step)
    average.swap()
    return save_adapter(student.unet, recipe.shape, folder / "finished")


def draw_lesson(trajectories: Trajectories, recipe: FewStepRecipe, step: int) -> Lesson:
    """Return the lesson of step `step`; always the same one for the same recipe."""
    generator, size = step_generator(recipe.seed, step), recipe.batch_size
    rows = torch.randint(0, len(trajectories), (size,), generator=generator)
    at = torch.randint(0, len(trajectories.timesteps), (size,), generator=generator)
    x, following = (trajectories.points[rows, i].float() for i in (at, at + 1))
    sigma, after = (trajectories.sigmas[i].view(-1, 1, 1, 1) for i in (at, at + 1))
    off = (at > 0).view(-1, 1, 1, 1) * recipe.wobble * sigma
    x = x + off * torch.randn(x.shape, generator=generator)
    return Lesson(
        x,
        velocity_of_step(x, following, sigma, after),
        sigma,
        trajectories.timesteps[at],
        trajectories.tokens[rows],
    )


def student_loss(student: Denoiser, lesson: Lesson) -> torch.Tensor:
    """Return the mean squared error of the student's velocity, without any guidance."""
    with torch.no_grad():
        embeds, pooled = encode_tokens(student, lesson.tokens)
    predicted = student.unet(
        lesson.x / (lesson.sigmas**2 + 1).sqrt(),
        lesson.timesteps,
        encoder_hidden_states=embeds,
        added_cond_kwargs={
            "text_embeds": pooled,
            "time_ids": time_ids(len(lesson.x), student),
        },
    ).sample
    return torch.nn.functional.mse_loss(predicted.float(), lesson.velocity)
