"""Draws the page of samples: `python -m training.storybook.wide.samples FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.storybook.sampling import sheet
from training.storybook.wide.captions import page_caption
from training.storybook.wide.drawing import BUCKETS, draw_page
from training.storybook.wide.scenes import training_page

COLUMNS, ROWS = 8, 5


def main(
    file: Annotated[Path, typer.Argument(help="What to write, a .png or .webp")],
    shape: Annotated[str, typer.Option(help=f"One of {', '.join(BUCKETS)}")] = "1:1",
    first: Annotated[int, typer.Option(help="Seed of the first page")] = 0,
) -> None:
    """Draw training pages from one seed on, none picked, and print their captions."""
    if shape not in BUCKETS:
        raise typer.BadParameter(f"'{shape}' is no shape; known: {', '.join(BUCKETS)}")
    seeds = range(first, first + COLUMNS * ROWS)
    pictures = [draw_page(training_page(seed), seed, *BUCKETS[shape]) for seed in seeds]
    sheet(pictures, COLUMNS).save(file, quality=88)
    typer.echo("\n".join(page_caption(training_page(seed), seed) for seed in seeds))


if __name__ == "__main__":
    typer.run(main)
