"""`greenroom keys`: who may use the server. Works on the database, with or without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.domain.keys import ApiKey
    from server.domain.money import Money
    from server.services.keys import Keys


_HEADINGS = ("id", "name", "owner", "scopes", "begins", "made", "last used", "budget", "")


def build() -> typer.Typer:
    """Return the `keys` command."""
    app = typer.Typer(help="Make, list, budget and revoke API keys.", no_args_is_help=True)
    app.command("create")(create)
    app.command("list")(list_keys)
    app.command("budget")(budget)
    app.command("revoke")(revoke)
    return app


def create(
    name: Annotated[str, typer.Argument(help="For people: whose key it is, or what for.")],
    owner: Annotated[
        str | None,
        typer.Option(help="Whose pictures it sees; absent: an owner of its own."),
    ] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="May also manage keys, models and connections.")
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(help="Money a calendar month, such as 5.00; absent: no budget."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Make a key. Its secret is shown once."""
    import asyncio
    import json

    from server.cli.console import results
    from server.domain.keys import Scope

    scopes = (Scope.ADMIN, Scope.GENERATE) if admin else (Scope.GENERATE,)

    amount = None if budget is None else _money(budget)

    async def make() -> tuple[ApiKey, str]:
        async with _keys() as keys:
            return await keys.create(name, owner=owner, scopes=scopes, budget=amount)

    key, secret = asyncio.run(make())
    if as_json:
        results().print(json.dumps({**key.model_dump(mode="json"), "secret": secret}))
        return
    results().print(secret, markup=False)
    _note(f"Keep it now: it is not shown again. Revoke it with: greenroom keys revoke {key.id}")


def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List all keys, newest first."""
    import asyncio
    import json

    from server.cli.console import print_table, results

    async def read() -> list[ApiKey]:
        async with _keys() as keys:
            return await keys.list()

    found = asyncio.run(read())
    if as_json:
        results().print(json.dumps([key.model_dump(mode="json") for key in found]))
    elif found:
        print_table(_HEADINGS, [_row(key) for key in found])
    else:
        _note("No keys yet. Make one with: greenroom keys create NAME")


def budget(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `greenroom keys list` shows it.")],
    amount: Annotated[
        str, typer.Argument(help="Money a calendar month, such as 5.00; none: no budget.")
    ],
) -> None:
    """Change what a key's jobs may cost in a month; what is spent already counts."""
    import asyncio

    new = None if amount == "none" else _money(amount)

    async def change() -> ApiKey:
        async with _keys() as keys:
            return await keys.set_budget(key_id, new)

    key = asyncio.run(change())
    said = "has no budget now" if key.budget is None else f"may spend {key.budget} a month now"
    _note(f"'{key.name}' ({key.prefix}...) {said}.")


def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `greenroom keys list` shows it.")],
) -> None:
    """Make a key worthless at once; its pictures stay."""
    import asyncio

    async def end() -> ApiKey:
        async with _keys() as keys:
            return await keys.revoke(key_id)

    key = asyncio.run(end())
    _note(f"Revoked '{key.name}' ({key.prefix}...).")


@asynccontextmanager
async def _keys() -> AsyncIterator[Keys]:
    import time
    from datetime import UTC, datetime

    from server.cli.settings import make_data_dir, read_settings
    from server.domain.ids import IdMaker
    from server.services.keys import Keys
    from server.settings import admin_token
    from server.store.store import Store

    settings = read_settings()
    make_data_dir(settings)
    store = await Store.open(settings.store_url)  # rows alone: a server may run beside this
    try:
        new_id = IdMaker(time.time, last=await store.greatest_id())
        yield Keys(
            store,
            admin_token(settings),
            new_id,
            lambda: datetime.now(UTC),
            currency=settings.currency,
        )
    finally:
        await store.close()


def _row(key: ApiKey) -> tuple[str, ...]:
    used = f"{key.last_used_at:%Y-%m-%d}" if key.last_used_at else "never"
    revoked = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else ""
    scopes = ", ".join(key.scopes)
    made = f"{key.created_at:%Y-%m-%d}"
    budget = str(key.budget or "")
    return (key.id, key.name, key.owner, scopes, key.prefix + "...", made, used, budget, revoked)


def _money(amount: str) -> Money:
    from server.cli.console import USAGE, CommandError
    from server.cli.settings import read_settings
    from server.domain.money import Money

    try:
        return Money.parse(amount, read_settings().currency)
    except ValueError as error:
        raise CommandError(f"--budget: {error}", exit_code=USAGE) from error


def _note(text: str) -> None:
    from server.cli.console import notes

    notes().print(text, markup=False)
