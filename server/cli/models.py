"""`greenroom models`: which there are, and bringing their files here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.models_add import add
from server.cli.models_list import described, list_models, show
from server.cli.models_memory import load, loaded, unload

if TYPE_CHECKING:
    from server.registry.registry import Registry

_Model = Annotated[
    str, typer.Argument(help="The model's id or alias, see `greenroom models list`.")
]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def build() -> typer.Typer:
    """Return the `models` command."""
    app = typer.Typer(
        help="List, fetch, check, add and remove models.",
        no_args_is_help=True,
    )
    app.command("list")(list_models)
    app.command("show")(show)
    app.command("pin")(pin)
    app.command("pull")(pull)
    app.command("check")(check)
    app.command("add")(add)
    app.command("remove")(remove)
    app.command("load")(load)
    app.command("unload")(unload)
    app.command("loaded")(loaded)
    return app


def pin(model: _Model, as_json: _Json = False) -> None:
    """Ask the hub which commit is the newest, and mean that one from now on."""
    import asyncio

    from server.cli.console import notes, results

    registry = open_registry()
    pins = asyncio.run(registry.pin(model))
    if as_json:
        _print_json(pins)
        return
    for repo, commit in pins.items():
        results().print(f"{repo} {commit}", markup=False)
    if pins:
        notes().print(f"Fetch it with: greenroom models pull {model}", markup=False)
    else:
        notes().print(f"'{model}' names all its commits itself; nothing to pin.", markup=False)


def pull(model: _Model, as_json: _Json = False) -> None:
    """Fetch a model's files, or go on where it was cut; checksums are compared."""
    import asyncio

    from server.cli.console import notes
    from server.cli.models_bar import pull_bar

    registry = open_registry()
    model_id = registry.info(model).id
    with pull_bar(model_id, is_quiet=as_json) as progress:
        asyncio.run(registry.pull(model_id, progress))
    if as_json:
        _print_json(described(registry, model_id))
    else:
        notes().print(f"'{model_id}' is ready.", markup=False)


def check(
    model: Annotated[
        str | None, typer.Argument(help="The model's id or alias; absent: all that are here.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Read a model's files again and compare them with their checksums."""
    import asyncio

    from server.cli.console import FAILURE, results
    from server.domain.models import ModelState

    registry = open_registry()
    here = [i.id for i in registry.infos() if registry.status(i.id)[0] is ModelState.READY]
    chosen = here if model is None else [registry.info(model).id]
    wrong = {name: asyncio.run(registry.check(name)) for name in chosen}
    if as_json:
        _print_json(wrong)
    else:
        for name, found in wrong.items():
            results().print(f"{name}: {'; '.join(found) or 'sound'}", markup=False)
    if any(wrong.values()):
        raise typer.Exit(FAILURE)


def remove(
    model: _Model,
    files_only: Annotated[
        bool, typer.Option("--files", help="Only its fetched files; it stays in the list.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Remove a model and what was fetched for it; files you brought stay."""
    from server.cli.console import notes

    registry = open_registry()
    model_id = registry.info(model).id
    freed = registry.remove(model_id, keep_entry=files_only)
    if as_json:
        _print_json({"id": model_id, "freed_bytes": freed})
        return
    notes().print(f"Removed '{model_id}'; {freed / 1e9:.1f} GB are free again.", markup=False)


def open_registry() -> Registry:
    """Return the registry that the settings name."""
    from server.cli.settings import read_settings
    from server.registry.registry import Registry

    settings = read_settings()
    token = None if settings.hub_token is None else settings.hub_token.get_secret_value()
    return Registry(
        settings.models, settings.data_dir, models_dir=settings.weights_dir, hub_token=token
    )


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False))
