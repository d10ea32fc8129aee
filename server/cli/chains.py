"""`greenroom chains`: who draws where a model cannot. With or without a running server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.services.chains import Chains
    from server.services.route_views import ChainView

_Model = Annotated[str, typer.Argument(help="A model's id or alias, or a connection's name.")]
_AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def build() -> typer.Typer:
    """Return the `chains` command."""
    app = typer.Typer(help="Say who draws where a model cannot.", no_args_is_help=True)
    app.command("list")(list_chains)
    app.command("set")(set_chain)
    app.command("remove")(remove)
    return app


def list_chains(as_json: _AsJson = False) -> None:
    """List all chains: those that were set, then those of models.yaml."""
    import asyncio
    import json

    from server.cli.console import notes, print_table, results

    async def read() -> tuple[ChainView, ...]:
        async with _chains() as chains:
            return await chains.list()

    found = asyncio.run(read())
    if as_json:
        results().print(json.dumps([chain.model_dump(mode="json") for chain in found]))
    elif found:
        print_table(("model", "then", "set by"), [_row(chain) for chain in found])
    else:
        notes().print("No chains yet. Set one with: greenroom chains set MODEL MEMBER ...")


def set_chain(
    model: _Model,
    members: Annotated[
        list[str], typer.Argument(help="Models and connections in the order they are asked.")
    ],
) -> None:
    """Set who draws where MODEL cannot."""
    import asyncio

    from server.cli.console import notes

    async def put() -> ChainView:
        async with _chains() as chains:
            return await chains.put(model, members)

    chain = asyncio.run(put())
    then = ", then ".join(member.name for member in chain.members)
    notes().print(f"Where {model} cannot draw: {then}.", markup=False)


def remove(model: _Model) -> None:
    """Go back to what models.yaml says."""
    import asyncio

    from server.cli.console import notes

    async def forget() -> None:
        async with _chains() as chains:
            await chains.remove(model)

    asyncio.run(forget())
    notes().print(f"Forgot the chain of {model}.", markup=False)


@asynccontextmanager
async def _chains() -> AsyncIterator[Chains]:
    from server.app import make_registry
    from server.cli.connections_open import open_store
    from server.cli.console import say_nothing_twice
    from server.cli.settings import read_settings
    from server.services.chains import Chains

    say_nothing_twice()
    settings = read_settings()
    async with open_store(settings) as store:
        yield Chains(store, make_registry(settings))


def _row(chain: ChainView) -> tuple[str, ...]:
    said = [f"{m.name} ({m.kind.value})" for m in chain.members]
    return (chain.model, ", ".join(said) or "nobody", "you" if chain.is_own else "models.yaml")
