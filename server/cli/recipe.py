"""`greenroom recipe FILE`: what a picture was drawn with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def recipe(
    file: Annotated[Path, typer.Argument(help="A picture of ours, or a recipe's JSON.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="As JSON, which --recipe reads again.")
    ] = False,
) -> None:
    """Print the recipe inside a picture. `greenroom generate --recipe FILE` draws it again."""
    from server.cli.console import results
    from server.cli.recipes import read_recipe
    from server.domain.recipes import parameters_text

    found = read_recipe(file)
    text = found.model_dump_json(indent=2) if as_json else parameters_text(found)
    results().print(text, markup=False)
