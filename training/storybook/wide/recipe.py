"""The recipe of a model of the wider world: 128 pixels, three shapes of picture, longer captions.

It has not been run yet but for its shortened test. The sizes are what 24 MB leave beside the critic
and the few-step adapter, and what two cores draw fast enough: a forward at 128 pixels is about four
times one of the model that ships. A GPU should train it; on two cores it is a matter of days.
"""

from __future__ import annotations

from training.storybook.autoencoder import AutoencoderRecipe
from training.storybook.books import WideBook
from training.storybook.denoiser import DenoiserRecipe
from training.storybook.latents import LatentRecipe
from training.storybook.loop import Schedule
from training.storybook.models import AutoencoderShape, DenoiserShape
from training.storybook.wide.drawing import BUCKETS
from training.storybook.workshop import StorybookXl


def storybook_wide() -> StorybookXl:
    """Return the whole recipe; critic and adapters are still the first world's."""
    book = WideBook()
    return StorybookXl(
        autoencoder=AutoencoderRecipe(
            book=book,
            shape=AutoencoderShape((16, 64, 112)),
            schedule=Schedule(8000, 3e-3),
            size=128,
        ),
        latents=LatentRecipe(book=book, pictures=24_576, captions=4, sizes=tuple(BUCKETS.values())),
        denoiser=DenoiserRecipe(
            shape=DenoiserShape((72, 96, 104), (3, 3, 4), 8, (64, 80), 3, 16),
            schedule=Schedule(20_000, 3e-3, 200, 0.7, checkpoint_every=500),
            size=128,
        ),
    )
