"""What the critic learns from: many characters, each in many scenes.

Pictures lie identity by identity, so that a batch can hold several of the same character. The
species that are held out are never among them: that the critic tells them apart is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

from training.storybook.critic import ATTRIBUTES, UNKNOWN
from training.storybook.pictures import Pixels, cached
from training.storybook.world.creatures import creature, marked
from training.storybook.world.drawing import character_of, draw_character
from training.storybook.world.figures import Character
from training.storybook.world.scenes import any_scene
from training.storybook.world.vocabulary import COAT_COLOURS, COLOURS, SPECIES, Scene

NAMED = Scene(species=SPECIES[0], colour=COLOURS[0], setting="snow")


@dataclass(frozen=True)
class LessonPlan:
    """How many characters of each kind, and how many pictures of each."""

    plain_pictures: int = 100  # of each species in each colour
    marked_kinds: int = 3  # ways of marking each species in each colour
    marked_pictures: int = 8
    creatures: int = 1600
    creature_pictures: int = 8
    shares: tuple[float, float, float] = (0.45, 0.15, 0.40)  # of a batch's characters, by kind


@dataclass(frozen=True)
class Lessons:
    """All pictures, their labels, and where each character's begin and end.

    Attributes:
        pictures: (pictures, size, size, 3).
        labels: (pictures,) by attribute.
        groups: by kind of character, (characters, 2): first picture and the one after the last.
        shares: of a batch's characters, by kind.
    """

    pictures: Pixels
    labels: dict[str, torch.Tensor]
    groups: tuple[torch.Tensor, ...]
    shares: tuple[float, ...]

    def draw(
        self, characters: int, views: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows of a batch and whose each is; no character comes twice under two numbers.

        A kind that has fewer characters than its share of the batch gives all it has.
        """
        shares = torch.tensor(self.shares)
        kinds = torch.multinomial(shares, characters, replacement=True, generator=generator)
        spans = [
            group[torch.randperm(len(group), generator=generator)[: int((kinds == kind).sum())]]
            for kind, group in enumerate(self.groups)
        ]
        rows = [
            first + torch.randperm(end - first, generator=generator)[:views]
            for first, end in torch.cat(spans).tolist()
        ]
        who = [torch.full((len(each),), i) for i, each in enumerate(rows)]
        return torch.cat(rows), torch.cat(who)


def prepare_lessons(plan: LessonPlan, size: int, folder: Path) -> Lessons:
    """Return the lessons; pictures that `folder` already keeps are not drawn again."""
    name = f"{size}-{plan.plain_pictures}-{plan.marked_kinds}-{plan.creatures}"
    path = folder / f"lessons-{name}.npy"
    pages = list(_pages(plan))
    pictures = cached(path)
    if pictures is None:
        drawn = (
            np.asarray(draw_character(page.character, page.scene, page.seed, size, size))
            for page in pages
        )
        pictures = cached(path, np.stack(list(drawn)))
    if pictures is None:
        raise FileNotFoundError(f"the pictures could not be written to {path.name}")
    return Lessons(
        np.asarray(pictures), labels([page.scene for page in pages]), _groups(pages), plan.shares
    )


def labels(scenes: list[Scene]) -> dict[str, torch.Tensor]:
    """Return the scenes' values as numbers, (scenes,) by attribute."""
    return {
        name: torch.tensor([values.index(getattr(scene, name)) for scene in scenes])
        for name, values in ATTRIBUTES.items()
    }


@dataclass(frozen=True)
class _Page:
    kind: int
    identity: int
    character: Character
    scene: Scene
    seed: int


def _pages(plan: LessonPlan) -> Iterator[_Page]:
    seed = 0
    for identity, (kind, character, named, pictures) in enumerate(_cast(plan)):
        for _ in range(pictures):
            scene = replace(any_scene(seed), species=named.species, colour=named.colour)
            yield _Page(kind, identity, character, scene, seed)
            seed += 1


def _cast(plan: LessonPlan) -> Iterator[tuple[int, Character, Scene, int]]:
    """Yield each character with its kind, its labels and how many pictures it gets."""
    named = [replace(NAMED, species=s, colour=c) for s, c in product(SPECIES, COLOURS)]
    for scene in named:
        yield 0, character_of(scene), scene, plan.plain_pictures
    for i, scene in enumerate(named):
        for way in range(plan.marked_kinds):
            character = marked(character_of(scene), i * plan.marked_kinds + way)
            yield 1, character, scene, plan.marked_pictures
    names = {colour: name for name, colour in COAT_COLOURS.items()}
    for i in range(plan.creatures):
        character = creature(i)
        scene = replace(NAMED, species=UNKNOWN, colour=names[character.coat])
        yield 2, character, scene, plan.creature_pictures


def _groups(pages: list[_Page]) -> tuple[torch.Tensor, ...]:
    spans: dict[int, dict[int, list[int]]] = {0: {}, 1: {}, 2: {}}
    for row, page in enumerate(pages):
        span = spans[page.kind].setdefault(page.identity, [row, row])
        span[1] = row + 1
    return tuple(torch.tensor(list(spans[kind].values())) for kind in sorted(spans))
