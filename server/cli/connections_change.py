"""`greenroom connections add` and `edit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from server.domain.images import Frozen
    from server.services.connections import Connections

F = TypeVar("F", bound="Frozen")

_Model = Annotated[str | None, typer.Option(help="The service's own id of the model.")]
_Url = Annotated[
    str | None, typer.Option("--url", help="The server's address; absent: the service's own.")
]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A default for requests, such as quality=high; repeatable."),
]
_Active = Annotated[
    bool | None, typer.Option("--active/--inactive", help="Whether requests may use it.")
]
_Trusted = Annotated[
    bool | None, typer.Option("--trusted/--untrusted", help="A server of your own people.")
]
_Pictures = Annotated[
    bool | None,
    typer.Option("--pictures/--no-pictures", help="Whether pictures may be sent there."),
]
_Concurrency = Annotated[int | None, typer.Option(help="Most calls at once.")]
_KeyEnv = Annotated[
    str | None, typer.Option("--key-env", help="Name of the variable that has the key.")
]
_KeyStdin = Annotated[bool, typer.Option("--key-stdin", help="Read the key from stdin.")]


def add(
    name: Annotated[str, typer.Argument(help="What requests will call it.")],
    provider: Annotated[str, typer.Option(help="gemini, openai or greenroom.")],
    model: Annotated[str, typer.Option(help="The service's own id of the model.")],
    url: _Url = None,
    settings: _Set = None,
    is_active: _Active = None,
    is_trusted: _Trusted = None,
    takes_pictures: _Pictures = None,
    concurrency: _Concurrency = None,
    key_env: _KeyEnv = None,
    key_stdin: _KeyStdin = False,
) -> None:
    """Make a connection; the key is asked for, and kept encrypted."""
    from server.cli.connections_open import note, read_key, with_connections
    from server.domain.connections import ConnectionWish

    values = _given(
        name=name,
        provider=provider,
        model=model,
        base_url=url,
        parameters=_named(settings),
        is_active=is_active,
        is_trusted=is_trusted,
        takes_pictures=takes_pictures,
        concurrency=concurrency,
        key=read_key(key_env, from_stdin=key_stdin, prompt=True),
    )
    wish = _checked(ConnectionWish, values)
    made = with_connections(lambda connections: connections.create(wish))
    if made.needs_a_key:
        note(f"Made '{made.name}'. It needs a key: greenroom connections edit {made.name} --key")
    else:
        note(f"Made '{made.name}'. Test it with: greenroom connections test {made.name}")


def edit(
    name: Annotated[str, typer.Argument(help="The connection's name.")],
    new_name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    model: _Model = None,
    url: _Url = None,
    own_address: Annotated[
        bool, typer.Option("--own-address", help="Back to the service's own address.")
    ] = False,
    settings: _Set = None,
    no_settings: Annotated[
        bool, typer.Option("--no-defaults", help="Drop all defaults for requests first.")
    ] = False,
    is_active: _Active = None,
    is_trusted: _Trusted = None,
    takes_pictures: _Pictures = None,
    concurrency: _Concurrency = None,
    ask_key: Annotated[bool, typer.Option("--key", help="Ask for another key.")] = False,
    key_env: _KeyEnv = None,
    key_stdin: _KeyStdin = False,
    no_key: Annotated[bool, typer.Option("--no-key", help="Take its key away.")] = False,
) -> None:
    """Change a connection; what is not given stays as it is, the key too."""
    from server.cli.connections_open import note, read_key

    values = _given(
        name=new_name,
        model=model,
        base_url=url,
        is_active=is_active,
        is_trusted=is_trusted,
        takes_pictures=takes_pictures,
        concurrency=concurrency,
        key=read_key(key_env, from_stdin=key_stdin, prompt=ask_key),
    )
    values |= {"base_url": None} if own_address else {}
    values |= {"key": None} if no_key else {}
    _edit(name, values, _named(settings), drops=no_settings)
    note(f"Changed '{new_name or name}'.")


def _edit(
    name: str,
    values: dict[str, Any],
    parameters: dict[str, int | float | str] | None,
    *,
    drops: bool,
) -> None:
    """Change what is in `values`; parameters are added to those there unless it `drops` them."""
    from server.cli.connections_open import with_connections
    from server.domain.connections import ConnectionChange

    async def change(connections: Connections) -> None:
        if parameters is not None or drops:
            old = {} if drops else (await connections.get(name)).parameters
            values["parameters"] = {**old, **(parameters or {})}
        await connections.edit(name, _checked(ConnectionChange, values))

    with_connections(change)


def _checked(form: type[F], values: dict[str, Any]) -> F:
    """Return `values` as `form`.

    Raises:
        CommandError: one is wrong; what was typed is not repeated, since it may be a key.
    """
    from pydantic import ValidationError

    from server.cli.console import USAGE, CommandError

    try:
        return form.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CommandError(f"{where}: {first['msg']}", exit_code=USAGE) from None


def _given(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever the options are
    return {name: value for name, value in values.items() if value is not None}


def _named(settings: list[str] | None) -> dict[str, int | float | str] | None:
    from server.cli.typed import named_values

    return named_values("--set", settings) if settings else None
