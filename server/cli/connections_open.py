"""What all `greenroom connections` commands need: the connections, and a key that is typed."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import SecretStr

    from server.services.connections import Connections
    from server.services.remote_models import Remote
    from server.settings import Settings
    from server.store.store import Store

T = TypeVar("T")


def with_connections(use: Callable[[Connections], Awaitable[T]]) -> T:
    """Return what `use` returns. A server may run beside this; it takes changes over in seconds."""
    import asyncio

    from server.cli.console import say_nothing_twice
    from server.cli.settings import read_settings

    say_nothing_twice()

    async def run() -> T:
        async with open_connections(read_settings()) as connections:
            return await use(connections)

    return asyncio.run(run())


def active_connections() -> tuple[Remote, ...]:
    """Return the active connections; none where there is no database yet."""
    from server.cli.settings import read_settings

    settings = read_settings()
    if not _has_database(settings):
        return ()

    async def read(connections: Connections) -> tuple[Remote, ...]:
        return connections.remotes()

    return with_connections(read)


async def refuse_connection(settings: Settings, model: object) -> None:
    """Say what to do where `model` is a connection and there is no server to draw with it.

    Raises:
        CommandError: it is one.
    """
    from server.app import make_registry
    from server.cli.console import USAGE, CommandError

    if model is None or make_registry(settings).has(str(model)) or not _has_database(settings):
        return
    async with open_store(settings) as store:
        names = [one.name for one in await store.connections.list()]
    if model in names:
        raise CommandError(
            f"'{model}' is a connection, which a server draws with; start one with "
            "`greenroom serve`",
            exit_code=USAGE,
        )


@asynccontextmanager
async def open_connections(settings: Settings) -> AsyncIterator[Connections]:
    """Open the connections of the data folder, as the server has them."""
    import time
    from datetime import UTC, datetime

    from server.app import make_registry
    from server.domain.ids import IdMaker
    from server.services.connections import Connections
    from server.services.provider_maker import ProviderMaker
    from server.services.remotes import Remotes
    from server.services.sources import Sources

    async with open_store(settings) as store, ProviderMaker(Sources(store)) as make:
        remotes = Remotes(store, make)
        new_id = IdMaker(time.time, last=await store.greatest_id())
        is_model = make_registry(settings).has
        await remotes.refresh()
        try:
            yield Connections(store, remotes, is_model, new_id, lambda: datetime.now(UTC))
        finally:
            await remotes.stop()


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the rows, with the master keys; without the files, so a server may run beside this."""
    from server.cli.settings import make_data_dir
    from server.store.master_keys import MasterKeys
    from server.store.store import Store

    make_data_dir(settings)
    keys = MasterKeys(settings.data_dir, settings.master_keys)
    store = await Store.open(settings.store_url, master_keys=keys)
    try:
        yield store
    finally:
        await store.close()


def _has_database(settings: Settings) -> bool:
    return settings.database_url is not None or (settings.data_dir / "greenroom.db").is_file()


def read_key(variable: str | None, *, from_stdin: bool, prompt: bool) -> SecretStr | None:
    """Return the key from where it was said to be; never an argument, which others could see.

    Args:
        variable: name of the environment variable that has it.
        from_stdin: whether it is the first line of stdin.
        prompt: whether to ask a person for it, if there is one.

    Raises:
        CommandError: there is nothing there.
    """
    from pydantic import SecretStr

    from server.cli.console import USAGE, CommandError

    if variable is not None:
        text = os.environ.get(variable, "").strip()
        if not text:
            raise CommandError(f"the variable {variable} is empty or not set", exit_code=USAGE)
        return SecretStr(text)
    if from_stdin:
        text = sys.stdin.readline().strip()
        if not text:
            raise CommandError("stdin is empty; pipe the key into this command", exit_code=USAGE)
        return SecretStr(text)
    if prompt and sys.stdin.isatty():
        text = typer.prompt("Key (empty: none)", default="", hide_input=True, show_default=False)
        return SecretStr(text.strip()) if text.strip() else None
    return None


def print_json(value: object) -> None:
    """Print for programs."""
    import json

    typer.echo(json.dumps(value, ensure_ascii=False))


def note(text: str) -> None:
    """Say something to the person."""
    from server.cli.console import notes

    notes().print(text, markup=False)
