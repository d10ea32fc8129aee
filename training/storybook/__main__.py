"""The command that trains the Storybook models: `python -m training.storybook all --state DIR`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Stage(StrEnum):
    """What to train; each stage trains those it needs first."""

    AUTOENCODER = "autoencoder"
    DENOISER = "denoiser"
    CRITIC = "critic"
    FEW_STEPS = "few-steps"
    TEACH = "teach"
    ALL = "all"


class World(StrEnum):
    """Which world the models learn."""

    FIRST = "first"
    WIDE = "wide"


def train(
    stage: Stage,
    state: Annotated[Path, typer.Option(help="Folder that keeps all progress")],
    model: Annotated[
        Path | None, typer.Option(help="What few-steps and teach adapt; absent: the state's")
    ] = None,
    world: Annotated[World, typer.Option(help="wide has not been trained yet")] = World.FIRST,
) -> None:
    """Train a stage; killed and started again, it goes on from its last checkpoint."""
    from training.storybook.machine import fast_bfloat16, use_one_thread
    from training.storybook.wide.recipe import storybook_wide
    from training.storybook.workshop import StorybookXl, Workshop

    use_one_thread()
    recipe = StorybookXl() if world is World.FIRST else storybook_wide()
    workshop = Workshop(state, recipe, fast_bfloat16())
    match stage:
        case Stage.AUTOENCODER:
            workshop.autoencoder()
        case Stage.CRITIC:
            workshop.critic()
        case Stage.DENOISER:
            workshop.pipeline()
        case Stage.FEW_STEPS:
            workshop.few_steps(model)
        case Stage.TEACH:
            workshop.teach(model)
        case Stage.ALL:
            workshop.critic()
            workshop.few_steps(model)


if __name__ == "__main__":
    typer.run(train)
