"""`greenroom connections`: remote services to draw with, and the keys they are used with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from server.cli import connections_change, connections_files

if TYPE_CHECKING:
    from server.services.connection_views import CheckView, ConnectionView

_HEADINGS = ("name", "provider", "model", "state", "key", "address")
_MOST_MODELS = 20
_Name = Annotated[
    str, typer.Argument(help="The connection's name, see `greenroom connections list`.")
]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def build() -> typer.Typer:
    """Return the `connections` command."""
    app = typer.Typer(
        help="Use remote services: make, test and change connections to them.",
        no_args_is_help=True,
    )
    app.command("add")(connections_change.add)
    app.command("list")(list_connections)
    app.command("show")(show)
    app.command("test")(try_out)
    app.command("edit")(connections_change.edit)
    app.command("remove")(remove)
    app.command("duplicate")(duplicate)
    app.command("order")(order)
    app.command("export")(connections_files.export)
    app.command("import")(connections_files.import_file)
    app.command("rotate-key")(connections_files.rotate_key)
    return app


def list_connections(as_json: _Json = False) -> None:
    """List all connections in their order."""
    from server.cli.connections_open import note, print_json, with_connections
    from server.cli.console import print_table

    found = with_connections(lambda connections: connections.list())
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
    elif found:
        print_table(_HEADINGS, [_row(one) for one in found])
    else:
        note("No connections yet. Make one with: greenroom connections add NAME")


def show(name: _Name, as_json: _Json = False) -> None:
    """Show what a connection is; never its key."""
    from server.cli.connections_open import print_json, with_connections
    from server.cli.console import results

    found = with_connections(lambda connections: connections.get(name))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    for what, value in _facts(found):
        results().print(f"{what:<12}{value}", markup=False)


def try_out(name: _Name, as_json: _Json = False) -> None:
    """Call the service with the key, and say what it answers."""
    from server.cli.connections_open import print_json, with_connections
    from server.cli.console import results

    found = with_connections(lambda connections: connections.test(name))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    for what, value in _findings(found):
        results().print(f"{what:<12}{value}", markup=False)


def remove(name: _Name) -> None:
    """Remove a connection and its key; pictures drawn with it stay."""
    from server.cli.connections_open import note, with_connections

    with_connections(lambda connections: connections.delete(name))
    note(f"Removed '{name}'.")


def duplicate(
    name: _Name,
    new_name: Annotated[
        str | None, typer.Option("--name", help="Of the copy; absent: made of the old name.")
    ] = None,
) -> None:
    """Make another connection like this one, key included."""
    from server.cli.connections_open import note, with_connections

    made = with_connections(lambda connections: connections.duplicate(name, new_name))
    note(f"Made '{made.name}'. Change it with: greenroom connections edit {made.name}")


def order(
    names: Annotated[list[str], typer.Argument(help="Names in the order they shall have.")],
) -> None:
    """Put connections first; the others follow as they were."""
    from server.cli.connections_open import with_connections
    from server.cli.console import print_table

    found = with_connections(lambda connections: connections.order(names))
    print_table(_HEADINGS, [_row(one) for one in found])


def _row(one: ConnectionView) -> tuple[str, ...]:
    state = "unusable" if one.reason else "active" if one.is_active else "inactive"
    key = "yes" if one.has_key else "needed" if one.needs_a_key else "none"
    return one.name, one.provider.value, one.model, state, key, one.base_url or ""


def _facts(one: ConnectionView) -> list[tuple[str, str]]:
    marks = (("trusted", one.is_trusted), ("takes pictures", one.takes_pictures))
    facts = [
        *zip(_HEADINGS, _row(one), strict=True),
        ("unusable", one.reason or ""),
        ("defaults", ", ".join(f"{k}={v}" for k, v in one.parameters.items())),
        ("besides", ", ".join(word for word, holds in marks if holds)),
        ("at once", f"{one.concurrency} calls"),
        ("id", one.id),
        ("changed", f"{one.updated_at:%Y-%m-%d %H:%M}"),
    ]
    return [(name, value) for name, value in facts if value]


def _findings(check: CheckView) -> list[tuple[str, str]]:
    from server.cli.console import span
    from server.domain.money import MICROS

    ids = [model.id for model in check.models]
    more = f" and {len(ids) - _MOST_MODELS} more" if len(ids) > _MOST_MODELS else ""
    left = check.balance
    balance = "not told" if left is None else f"{left.micros / MICROS:g} {left.currency}"
    return [
        ("answered", f"in {span(check.seconds)}"),
        ("models", (", ".join(ids[:_MOST_MODELS]) or "none listed") + more),
        ("balance", balance),
        ("limits", "; ".join(check.limits) or "not told"),
    ]
