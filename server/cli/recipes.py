"""Recipes on the command line: read them from files, and turn them into requests again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from server.cli.console import USAGE, CommandError
from server.domain.recipes import Recipe
from server.domain.resolve import OPTIONAL_PARAMETERS, PICTURE_PARAMETERS
from server.engine.messages import Sources
from server.pictures.recipe_file import read_recipe as read_from_picture
from server.services.pictures import make_safe

# A recipe's own names where a request has the same; pictures are hashes there, not ids.
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
        if name in parameters and name not in PICTURE_PARAMETERS and said[name] is not None:
            again[name] = said[name]
    if recipe.options:
        again["options"] = said["options"]
    if recipe.remote is not None and not recipe.remote.seeded:
        again.pop("seed")  # it numbered the picture and did nothing
    if "adapters" in again:  # by name: what that means now is for the server to say
        again["adapters"] = [{"id": one.id, "weight": one.weight} for one in recipe.adapters]
    for name in changes:
        for replaced in _INSTEAD.get(name, ()):
            again.pop(replaced)
    return {**again, **changes}


def same_sources(sources: Sources, recipe: Recipe, *, max_pixels: int) -> None:
    """Refuse pictures that are not the recipe's. Pictures that it has none of change it.

    Raises:
        CommandError: one is missing, too much or another one.
        AppError: one is no picture, or too large.
    """
    for option, data, mark in (
        ("--image", sources.image, recipe.image),
        ("--mask", sources.mask, recipe.mask),
    ):
        if mark is not None:
            _same(option, data, mark, max_pixels)
    if not recipe.references:
        return
    if len(sources.references) != len(recipe.references):
        raise CommandError(
            f"this recipe has {len(recipe.references)} references; give the files, in the same "
            "order, with --reference",
            exit_code=USAGE,
        )
    for data, mark in zip(sources.references, recipe.references, strict=True):
        _same("--reference", data, mark, max_pixels)


def _same(option: str, data: bytes | None, mark: str, max_pixels: int) -> None:
    if data is None:
        what = "a mask" if option == "--mask" else "a picture"
        raise CommandError(
            f"this recipe starts from {what}; give that file with {option}", exit_code=USAGE
        )
    # A picture of ours was read as it is, an upload as it was made safe; the pixels are the same.
    if hashlib.sha256(data).hexdigest() == mark:
        return
    if hashlib.sha256(make_safe(data, max_pixels=max_pixels).png).hexdigest() != mark:
        raise CommandError(
            f"{option} is not the picture that this recipe was drawn with; leave --recipe out "
            "to draw with another one",
            exit_code=USAGE,
        )
