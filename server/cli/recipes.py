"""Recipes on the command line: read them from files, and turn them into requests again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from server.cli.console import USAGE, CommandError
from server.domain.recipes import Recipe
from server.domain.resolve import OPTIONAL_PARAMETERS
from server.engine.recipe_file import read_recipe as read_from_picture
from server.services.pictures import make_safe

# A recipe's own names where a request has the same; `image` is a hash there, not an id.
_REPEATED = ("model", "prompt", "width", "height", "seed", "format")
_INSTEAD = {"aspect_ratio": ("width", "height")}


def read_recipe(file: Path) -> Recipe:
    """Return the recipe in a picture of ours, or in a file that `greenroom recipe --json` wrote.

    Raises:
        CommandError: the file cannot be read or is no recipe.
        AppError: the picture cannot be read or carries no recipe.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}", exit_code=USAGE) from error
    if data.lstrip()[:1] != b"{":
        return read_from_picture(data)
    try:
        return Recipe.model_validate_json(data)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise CommandError(f"{file} is no recipe: {where}: {problem['msg']}") from error


def options_again(
    recipe: Recipe, parameters: frozenset[str], changes: Mapping[str, object]
) -> dict[str, object]:
    """Return the request that draws `recipe` again.

    Args:
        recipe: of one picture; its prompts already hold the style's words.
        parameters: what the model takes. A recipe also tells what the model has no choice in,
            such as its only scheduler; a request may not.
        changes: options that were typed beside it; they win.
    """
    said = recipe.model_dump(mode="json")
    again = {name: said[name] for name in _REPEATED}
    for name in OPTIONAL_PARAMETERS:
        if name in parameters and name != "image" and said[name] is not None:
            again[name] = said[name]
    for name in changes:
        for replaced in _INSTEAD.get(name, ()):
            again.pop(replaced)
    return {**again, **changes}


def same_source(data: bytes, recipe: Recipe, *, max_pixels: int) -> None:
    """Refuse a source picture that is not the recipe's.

    Raises:
        CommandError: its pixels are others.
        AppError: it is no picture, or too large.
    """
    safe = make_safe(data, max_pixels=max_pixels)
    if hashlib.sha256(safe.png).hexdigest() != recipe.image:
        raise CommandError(
            "--image is not the picture that this recipe starts from; leave --recipe out "
            "to draw from another one",
            exit_code=USAGE,
        )
