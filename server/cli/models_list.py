"""`greenroom models list` and `show`: models that are drawn here, and active connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.domain.models import ModelInfo, ModelState
    from server.registry.registry import Registry
    from server.services.remote_models import Remote

_HEADINGS = ("id", "name", "family", "state", "memory", "licence")
_Model = Annotated[
    str, typer.Argument(help="The model's id or alias, see `greenroom models list`.")
]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@dataclass(frozen=True, slots=True)
class _Listed:
    """A model, wherever it is drawn. `where` says in which file its entry is."""

    info: ModelInfo
    state: ModelState
    reason: str | None
    is_default: bool = False
    where: str = ""


def list_models(as_json: _Json = False) -> None:
    """List all models, and how far each is from drawing."""
    from server.cli.console import notes, print_table
    from server.cli.models import open_registry

    registry = open_registry()
    here = [_of_registry(registry, info.id) for info in registry.infos()]
    found = [*here, *_remote({one.info.id for one in here})]
    if as_json:
        _print_json([_described(one) for one in found])
        return
    print_table(_HEADINGS, [_row(one) for one in found])
    for broken in registry.broken():
        notes().print(broken.reason, markup=False)


def show(model: _Model, as_json: _Json = False) -> None:
    """Show what a model is, takes and needs."""
    from server.cli.console import print_table, results

    found = _find(model)
    if as_json:
        _print_json(_described(found))
        return
    out = results()
    for name, value in _facts(found):
        out.print(f"{name:<12}{value}", markup=False)
    remote = found.info.remote
    parameters = (*found.info.parameters, *(remote.options if remote else ()))
    if parameters:
        out.print()
        print_table(
            ("parameter", "default", "from", "to", "options"),
            [
                (p.name, _said(p.default), _said(p.minimum), _said(p.maximum), " ".join(p.options))
                for p in parameters
            ],
        )


def described(registry: Registry, model_id: str) -> dict[str, object]:
    """Return what programs are told of a model of the registry."""
    return _described(_of_registry(registry, model_id))


def _find(model: str) -> _Listed:
    """Return a model by id, alias or connection.

    Raises:
        ModelNotFoundError: there is none; the message names near ones.
    """
    from server.cli.models import open_registry

    registry = open_registry()
    if not registry.has(model):
        remote = next((one for one in _remote(set()) if one.info.id == model), None)
        if remote is not None:
            return remote
    return _of_registry(registry, registry.info(model).id)


def _of_registry(registry: Registry, model_id: str) -> _Listed:
    state, reason = registry.status(model_id)
    places = (str(e.where) for e in registry.entries() if e.entry.id == model_id)
    return _Listed(
        registry.info(model_id),
        state,
        reason,
        is_default=model_id == registry.default,
        where=next(places, ""),
    )


def _remote(taken: set[str]) -> list[_Listed]:
    """Return the active connections; a database that does not answer is remarked on."""
    from server.cli.connections_open import active_connections, note
    from server.domain.errors import AppError
    from server.domain.models import ModelState

    def listed(remote: Remote) -> _Listed:
        state = ModelState.READY if remote.reason is None else ModelState.BROKEN
        return _Listed(remote.declared, state, remote.reason, where="greenroom connections")

    try:
        return [listed(one) for one in active_connections() if one.connection.name not in taken]
    except AppError as error:
        note(f"Connections are not listed: {error.detail}")
        return []


def _row(one: _Listed) -> Sequence[str]:
    info = one.info
    mark = " (default)" if one.is_default else ""
    memory = "" if info.needs_vram_gib is None else f"{info.needs_vram_gib:g} GiB"
    return info.id + mark, info.name, info.family.value, one.state.value, memory, _licence(info)


def _facts(one: _Listed) -> Sequence[tuple[str, str]]:
    info = one.info
    memory = "unknown" if info.needs_vram_gib is None else f"{info.needs_vram_gib:g} GiB"
    facts = [
        ("id", info.id),
        ("name", info.name),
        ("family", info.family.value),
        ("task", info.task.value),
        ("state", f"{one.state.value}{f': {one.reason}' if one.reason else ''}"),
        ("about", info.description),
        ("good at", ", ".join(info.specialties)),
        ("licence", _licence(info)),
        ("memory", "" if info.remote else memory),
        ("sizes", ", ".join(f"{s.width}x{s.height} ({s.aspect_ratio})" for s in info.sizes)),
        ("styles", ", ".join(style.id for style in info.styles)),
        ("from", one.where),
    ]
    return [(name, value) for name, value in facts if value]


def _licence(info: ModelInfo) -> str:
    return f"{info.licence}{', gated' if info.gated else ''}"


def _described(one: _Listed) -> dict[str, object]:
    return {
        **one.info.model_dump(mode="json"),
        "state": one.state.value,
        "reason": one.reason,
        "is_default": one.is_default,
    }


def _said(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False))
