"""`greenroom generate`: from options to files."""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from server.cli import files
from server.cli.bar import Bar
from server.cli.choose import drawer_for
from server.cli.console import USAGE, CommandError, notes, pictures, results, span
from server.cli.recipes import options_again, read_recipe, same_sources
from server.cli.settings import read_settings
from server.domain.events import Picture
from server.domain.images import ImageFormat, ImageRequest
from server.domain.money import total
from server.engine.messages import Sources

if TYPE_CHECKING:
    from server.cli.drawing import Drawer
    from server.cli.wish import Wish
    from server.domain.recipes import Recipe
    from server.settings import Settings

_OPTION_NAMES = {
    "negative_prompt": "--negative",
    "aspect_ratio": "--shape",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
    "num_images": "--num",
    "adapters": "--adapter",
    "crops_coords_top_left": "--crop",
    "negative_crops_coords_top_left": "--negative-crop",
    "prompt": "the prompt",
}


@dataclass(frozen=True, slots=True)
class Saved:
    """A picture and its file; `kept` is the file of that name that was there already."""

    path: Path
    kept: Path | None
    picture: Picture


@dataclass(frozen=True, slots=True)
class Outcome:
    """All pictures of a request and how long the whole took."""

    saved: tuple[Saved, ...]
    seconds: float
    remarks: tuple[str, ...]


async def draw(wish: Wish, *, is_quiet: bool) -> Outcome:
    """Draw what was wished for and save it; cancelling this cancels the job.

    Raises:
        CommandError, AppError: it could not be drawn or saved.
    """
    settings = read_settings()
    wanted_format = files.format_for(wish.output, wish.file_format)
    files.check_folder(wish.output)
    recipe = None if wish.recipe is None else read_recipe(wish.recipe)
    sources = _sources(wish, recipe, settings)
    started = time.monotonic()
    saved: list[Saved] = []
    async with drawer_for(wish, settings) as drawer:
        request = await _request(wish, recipe, wanted_format, drawer)
        with Bar(is_quiet=is_quiet) as bar:
            async with aclosing(drawer.draw(request, sources)) as heard:
                async for news in heard:
                    if isinstance(news, Picture):
                        saved.append(_save(news, wish))
                    else:
                        bar.show(news)
    return Outcome(
        tuple(sorted(saved, key=lambda one: one.picture.index)),
        time.monotonic() - started,
        _remarks(recipe, saved),
    )


def report(outcome: Outcome, *, as_json: bool) -> None:
    """Print where the pictures are."""
    out, aside = results(), notes()
    if as_json:
        said = {
            "pictures": [_as_json(one) for one in outcome.saved],
            "seconds": round(outcome.seconds, 3),
            "remarks": outcome.remarks,
        }
        out.print(json.dumps(said), markup=False)
        return
    for one in outcome.saved:
        if one.kept is not None:
            aside.print(f"{one.kept} was there already and is kept.", markup=False)
        out.print(str(one.path), markup=False)
    seeds = ", ".join(str(one.picture.recipe.seed) for one in outcome.saved)
    cost = total([one.picture.cost for one in outcome.saved])
    paid = "" if cost is None else f", {cost}"
    aside.print(
        f"{pictures(len(outcome.saved))} in {span(outcome.seconds)}, seed {seeds}{paid}",
        style="dim",
    )
    for remark in outcome.remarks:
        aside.print(remark, markup=False)


def _save(picture: Picture, wish: Wish) -> Saved:
    first_seed = picture.recipe.seed - picture.index
    meant = files.target(wish.output, first_seed, picture.format.value)
    path = files.save(picture.data, meant, picture.index, force=wish.force)
    return Saved(path, meant if picture.index == 0 and path != meant else None, picture)


def _sources(wish: Wish, recipe: Recipe | None, settings: Settings) -> Sources:
    sources = Sources(
        image=None if wish.image is None else _read(wish.image),
        mask=None if wish.mask is None else _read(wish.mask),
        references=tuple(map(_read, wish.references)),
    )
    if recipe is not None:
        same_sources(sources, recipe, max_pixels=settings.max_upload_megapixels * 1_000_000)
    return sources


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}", exit_code=USAGE) from error


async def _request(
    wish: Wish, recipe: Recipe | None, wanted_format: str | None, drawer: Drawer
) -> ImageRequest:
    options: dict[str, object] = dict(wish.options)
    if recipe is not None:
        model = str(options.get("model", recipe.model))
        options = options_again(recipe, await drawer.parameters(model), options)
    if wanted_format is not None:
        options["format"] = wanted_format
    try:
        return ImageRequest.model_validate(options)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        name = str(problem["loc"][0])
        said = _OPTION_NAMES.get(name, f"--{name.replace('_', '-')}")
        raise CommandError(f"{said}: {problem['msg']}", exit_code=USAGE) from error


def _remarks(recipe: Recipe | None, saved: list[Saved]) -> tuple[str, ...]:
    if recipe is None:
        return ()
    drawn = [one.picture.recipe for one in saved]
    changed = [] if all(one.fingerprint == recipe.fingerprint for one in drawn) else [recipe.model]
    files = {adapter.id: adapter.sha256 for one in drawn for adapter in one.adapters}
    changed += [one.id for one in recipe.adapters if files.get(one.id, one.sha256) != one.sha256]
    return tuple(
        f"The weights of '{name}' are not those of the recipe, so the picture may differ."
        for name in changed
    )


def _as_json(one: Saved) -> dict[str, object]:
    picture = one.picture
    return {
        "path": str(one.path),
        "width": picture.width,
        "height": picture.height,
        "format": ImageFormat(picture.format).value,
        "duration_seconds": picture.duration_seconds,
        "cost": None if picture.cost is None else picture.cost.model_dump(),
        "recipe": picture.recipe.model_dump(mode="json"),
    }
