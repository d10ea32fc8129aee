"""The worlds as training sees them: for every seed a picture in any size, and true captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from training.storybook.wide.captions import page_caption
from training.storybook.wide.drawing import draw_page
from training.storybook.wide.scenes import training_page
from training.storybook.world.captions import caption
from training.storybook.world.drawing import draw
from training.storybook.world.scenes import training_scene


class Book(Protocol):
    """A world that a model can be trained on; it never shows what is held out."""

    @property
    def max_tokens(self) -> int:
        """How many tokens its longest captions need."""

    def picture(self, seed: int, width: int, height: int) -> Image.Image:
        """Return the picture of a seed."""

    def caption(self, seed: int, phrasing: int) -> str:
        """Return a true caption of a seed's picture; `phrasing` chooses among them."""


@dataclass(frozen=True)
class FirstBook:
    """The world of the models that ship: one character, three styles."""

    max_tokens: int = 32

    def picture(self, seed: int, width: int, height: int) -> Image.Image:
        """Return the training scene of a seed, drawn."""
        return draw(training_scene(seed), seed, width, height)

    def caption(self, seed: int, phrasing: int) -> str:
        """Return a caption of the seed's training scene."""
        return caption(training_scene(seed), phrasing)


@dataclass(frozen=True)
class WideBook:
    """The wider world: several characters, poses, weather, seven styles."""

    max_tokens: int = 77

    def picture(self, seed: int, width: int, height: int) -> Image.Image:
        """Return the training page of a seed, drawn."""
        return draw_page(training_page(seed), seed, width, height)

    def caption(self, seed: int, phrasing: int) -> str:
        """Return a caption of the seed's training page."""
        return page_caption(training_page(seed), phrasing)
