"""The critic's recipe: pull pictures of one character together, others apart; name the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from training.storybook.autoencoder import as_tensor
from training.storybook.critic import ATTRIBUTES, Critic, CriticShape, build_critic
from training.storybook.critic_lessons import LessonPlan, prepare_lessons
from training.storybook.loop import Average, Run, Schedule, Stateful, step_generator
from training.storybook.muon import muon_for


@dataclass(frozen=True)
class CriticRecipe:
    """All that decides what the critic becomes."""

    shape: CriticShape = field(default_factory=CriticShape)
    plan: LessonPlan = field(default_factory=LessonPlan)
    schedule: Schedule = field(default_factory=lambda: Schedule(2000, 2e-3))
    characters: int = 32  # in a batch
    views: int = 3  # pictures of each
    size: int = 64
    temperature: float = 0.1
    seed: int = 3


def train_critic(recipe: CriticRecipe, folder: Path, *, bfloat16: bool) -> Critic:
    """Train, or go on training, in `folder`; return the averaged critic in eval mode."""
    torch.manual_seed(recipe.seed)
    critic = build_critic(recipe.shape)
    lessons = prepare_lessons(recipe.plan, recipe.size, folder)
    optimizer = muon_for([critic], recipe.schedule.learning_rate, 1e-2, {"heads", "embedder"})
    average = Average({"critic": critic}, 0.99)

    def take_step(step: int) -> dict[str, float]:
        generator = step_generator(recipe.seed, step)
        rows, who = lessons.draw(recipe.characters, recipe.views, generator)
        x = roughened(as_tensor(lessons.pictures[rows.numpy()]), generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            opinion = critic(x)
        identity = identity_loss(opinion.identity, who, recipe.temperature)
        named = [
            torch.nn.functional.cross_entropy(
                opinion.logits[name].float(), lessons.labels[name][rows]
            )
            for name in ATTRIBUTES
        ]
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(identity + torch.stack(named).sum())
        optimizer.step()
        average.update(step)
        return {"identity": identity.item(), "named": sum(loss.item() for loss in named)}

    parts: dict[str, Stateful] = {"critic": critic, "optimizer": optimizer, "average": average}
    Run(folder, recipe.schedule).train(parts, optimizer, take_step)
    average.swap()
    return critic.eval()


def identity_loss(embeddings: torch.Tensor, who: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return how badly each picture finds the others of its character among all pictures.

    Args:
        embeddings: (pictures, width), each of length 1.
        who: (pictures,), the number of each picture's character; every one has at least two.
        temperature: the smaller, the more the nearest wrong ones count.

    Source: Khosla et al. 2020, arXiv:2004.11362, the loss outside the logarithm.
    """
    itself = torch.eye(len(who), dtype=torch.bool)
    likeness = (embeddings @ embeddings.T / temperature).masked_fill(itself, float("-inf"))
    log_share = likeness - likeness.logsumexp(1, keepdim=True)
    partners = (who[:, None] == who[None, :]) & ~itself
    found = log_share.masked_fill(~partners, 0).sum(1) / partners.sum(1)
    return -found.mean()


def roughened(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return pictures with noise, a third of them blurred: a model's are less crisp than ours."""
    blurred = torch.rand(len(x), generator=generator) < 1 / 3
    soft = torch.nn.functional.avg_pool2d(x[blurred], 3, 1, 1, count_include_pad=False)
    x = x.clone()
    x[blurred] = soft
    strength = 0.15 * torch.rand(len(x), 1, 1, 1, generator=generator)
    return x + strength * torch.randn(x.shape, generator=generator)
