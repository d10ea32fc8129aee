"""`greenroom models`: which there are, and bringing their files here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.models_add import add
from server.cli.models_memory import load, loaded, unload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.registry.registry import Registry

_Model = Annotated[
    str, typer.Argument(help="The model's id or alias, see `greenroom models list`.")
]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_HEADINGS = ("id", "name", "family", "state", "memory", "licence")


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


def list_models(as_json: _Json = False) -> None:
    """List all models, and how far each is from drawing."""
    from server.cli.console import notes, print_table

    registry = open_registry()
    if as_json:
        _print_json([_described(registry, info.id) for info in registry.infos()])
        return
    print_table(_HEADINGS, [_row(registry, info.id) for info in registry.infos()])
    for broken in registry.broken():
        notes().print(broken.reason, markup=False)


def show(model: _Model, as_json: _Json = False) -> None:
    """Show what a model is, takes and needs."""
    from server.cli.console import print_table, results

    registry = open_registry()
    info = registry.info(model)
    if as_json:
        _print_json(_described(registry, info.id))
        return
    out = results()
    for name, value in _facts(registry, info.id):
        out.print(f"{name:<12}{value}", markup=False)
    if info.parameters:
        out.print()
        print_table(
            ("parameter", "default", "from", "to", "options"),
            [
                (p.name, _said(p.default), _said(p.minimum), _said(p.maximum), " ".join(p.options))
                for p in info.parameters
            ],
        )


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
        _print_json(_described(registry, model_id))
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


def _row(registry: Registry, model_id: str) -> Sequence[str]:
    info = registry.info(model_id)
    state, _ = registry.status(model_id)
    mark = " (default)" if model_id == registry.default else ""
    memory = "" if info.needs_vram_gib is None else f"{info.needs_vram_gib:g} GiB"
    licence = f"{info.licence}{', gated' if info.gated else ''}"
    return model_id + mark, info.name, info.family.value, state.value, memory, licence


def _facts(registry: Registry, model_id: str) -> Sequence[tuple[str, str]]:
    info = registry.info(model_id)
    state, reason = registry.status(model_id)
    memory = "unknown" if info.needs_vram_gib is None else f"{info.needs_vram_gib:g} GiB"
    facts = [
        ("id", info.id),
        ("name", info.name),
        ("family", info.family.value),
        ("task", info.task.value),
        ("state", f"{state.value}{f': {reason}' if reason else ''}"),
        ("about", info.description),
        ("good at", ", ".join(info.specialties)),
        ("licence", f"{info.licence}{', gated' if info.gated else ''}"),
        ("memory", memory),
        ("sizes", ", ".join(f"{s.width}x{s.height} ({s.aspect_ratio})" for s in info.sizes)),
        ("styles", ", ".join(style.id for style in info.styles)),
        *(("from", str(e.where)) for e in registry.entries() if e.entry.id == model_id),
    ]
    return [(name, value) for name, value in facts if value]


def _described(registry: Registry, model_id: str) -> dict[str, object]:
    state, reason = registry.status(model_id)
    return {
        **registry.info(model_id).model_dump(mode="json"),
        "state": state.value,
        "reason": reason,
        "is_default": model_id == registry.default,
    }


def _said(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False))
