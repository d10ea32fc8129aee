"""Scores a pipeline: does it draw what captions of unseen combinations ask for?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from training.storybook.critic import ATTRIBUTES, Critic
from training.storybook.measures import Share, backdrop, coat_colour, painted_species
from training.storybook.sampling import Sampling, sample
from training.storybook.untyped import Pipeline
from training.storybook.world.captions import caption
from training.storybook.world.scenes import training_scene, unseen_scene
from training.storybook.world.vocabulary import Scene

GUIDANCE_SCALES = (2.0, 3.0, 4.0, 5.0)
EVALUATION_SEED = 40_000_000
GUIDANCE_SEED = 50_000_000
CRITIC_PREFIX, EXACT_PREFIX = "critic", "exact"
EXACT_MEASURES: dict[str, Callable[[Image.Image, Scene], str]] = {
    "species": painted_species,
    "colour": coat_colour,
    "setting": backdrop,
}


@dataclass(frozen=True)
class Drawn:
    """Asked-for scenes and the pictures that a model drew for their captions."""

    scenes: tuple[Scene, ...]
    captions: tuple[str, ...]
    pictures: tuple[Image.Image, ...]


def draw_scenes(pipeline: Pipeline, scenes: Sequence[Scene], seed: int, how: Sampling) -> Drawn:
    """Return what the model draws for one caption of each scene."""
    texts = tuple(caption(scene, seed + i) for i, scene in enumerate(scenes))
    return draw_texts(pipeline, scenes, texts, seed, how)


def draw_texts(
    pipeline: Pipeline, scenes: Sequence[Scene], texts: tuple[str, ...], seed: int, how: Sampling
) -> Drawn:
    """Return what the model draws for these captions of the scenes."""
    return Drawn(tuple(scenes), texts, tuple(sample(pipeline, texts, seed, how)))


def unseen_scenes(count: int) -> list[Scene]:
    """Return scenes whose combination no training picture has."""
    return [unseen_scene(EVALUATION_SEED + i) for i in range(count)]


def choose_guidance(
    pipeline: Pipeline, critic: Critic, count: int, how: Sampling
) -> dict[float, float]:
    """Return, for each guidance scale, the critic's share of right answers on other captions.

    These are captions of combinations that training does have, so that nothing of the evaluation
    decides how it is run.
    """
    scenes = [training_scene(GUIDANCE_SEED + i) for i in range(count)]
    scores: dict[float, float] = {}
    for scale in GUIDANCE_SCALES:
        tried = Sampling(how.num_inference_steps, scale, how.size)
        shares = by_critic(critic, draw_scenes(pipeline, scenes, GUIDANCE_SEED, tried))
        scores[scale] = sum(share.value for share in shares.values()) / len(shares)
    return scores


def by_critic(critic: Critic, drawn: Drawn) -> dict[str, Share]:
    """Return how often the critic sees what was asked, by attribute."""
    said = critic.describe(drawn.pictures)
    return {
        name: Share(
            sum(
                getattr(a, name) == getattr(b, name)
                for a, b in zip(said, drawn.scenes, strict=True)
            ),
            len(said),
        )
        for name in ATTRIBUTES
    }


def by_measures(drawn: Drawn) -> dict[str, Share]:
    """Return how often the exact measures find what was asked, by attribute."""
    pairs = list(zip(drawn.pictures, drawn.scenes, strict=True))
    return {
        name: Share(
            sum(measure(picture, scene) == getattr(scene, name) for picture, scene in pairs),
            len(pairs),
        )
        for name, measure in EXACT_MEASURES.items()
    }
