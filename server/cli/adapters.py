"""`greenroom adapters`: bring LoRA files. Works on the data folder, with or without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.services.adapters import Adapters
    from server.services.views import AdapterView
    from server.settings import Settings

_PIECE_BYTES = 2**20
_HEADINGS = ("id", "family", "rank", "layers", "size", "file", "brought")
_Name = Annotated[str, typer.Argument(help="The adapter's id, see `greenroom adapters list`.")]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def build() -> typer.Typer:
    """Return the `adapters` command."""
    app = typer.Typer(help="Add, list and remove adapters (LoRA files).", no_args_is_help=True)
    app.command("add")(add)
    app.command("list")(list_adapters)
    app.command("show")(show)
    app.command("remove")(remove)
    return app


def add(
    file: Annotated[Path, typer.Argument(help="A .safetensors file for SDXL or FLUX.")],
    adapter_id: Annotated[
        str | None,
        typer.Option("--id", help="How requests will name it; absent: made of the file's name."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Copy an adapter to the server's; it can be drawn with at once."""
    import asyncio

    async def bring() -> AdapterView:
        async with _adapters() as adapters:
            return await adapters.add(_pieces(file), file_name=file.name, adapter_id=adapter_id)

    added = asyncio.run(bring())
    if as_json:
        _print_json(added.model_dump(mode="json"))
        return
    _note(f"Added '{added.id}', for {added.family.value}. Draw with it:")
    _note(f'  greenroom generate "a fox" --adapter {added.id}:0.8')


def list_adapters(as_json: _Json = False) -> None:
    """List all adapters by name."""
    import asyncio

    from server.cli.console import print_table

    async def read() -> tuple[AdapterView, ...]:
        async with _adapters() as adapters:
            return await adapters.list()

    found = asyncio.run(read())
    if as_json:
        _print_json([adapter.model_dump(mode="json") for adapter in found])
    elif found:
        print_table(_HEADINGS, [_row(adapter) for adapter in found])
    else:
        _note("No adapters yet. Bring one with: greenroom adapters add FILE")


def show(adapter_id: _Name, as_json: _Json = False) -> None:
    """Show what an adapter is."""
    import asyncio

    from server.cli.console import results

    async def read() -> AdapterView:
        async with _adapters() as adapters:
            return await adapters.get(adapter_id)

    found = asyncio.run(read())
    if as_json:
        _print_json(found.model_dump(mode="json"))
        return
    for name, value in zip((*_HEADINGS, "sha256"), (*_row(found), found.sha256), strict=True):
        results().print(f"{name:<12}{value}", markup=False)


def remove(adapter_id: _Name) -> None:
    """Remove an adapter and its file; pictures drawn with it stay."""
    import asyncio

    async def end() -> None:
        async with _adapters() as adapters:
            await adapters.remove(adapter_id)

    asyncio.run(end())
    _note(f"Removed '{adapter_id}'.")


@asynccontextmanager
async def open_adapters(settings: Settings) -> AsyncIterator[Adapters]:
    """Open the adapters of the data folder; a server may run beside this."""
    from datetime import UTC, datetime

    from server.cli.settings import make_data_dir
    from server.services.adapter_files import AdapterFiles
    from server.services.adapters import Adapters
    from server.store.store import Store

    make_data_dir(settings)
    store = await Store.open(settings.store_url)  # rows alone
    try:
        yield Adapters(
            store,
            AdapterFiles(settings.weights_dir),
            lambda: datetime.now(UTC),
            max_bytes=settings.max_adapter_mib * 2**20,
        )
    finally:
        await store.close()


@asynccontextmanager
async def _adapters() -> AsyncIterator[Adapters]:
    from server.cli.console import say_nothing_twice
    from server.cli.settings import read_settings

    say_nothing_twice()
    async with open_adapters(read_settings()) as adapters:
        yield adapters


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    import asyncio

    from server.cli.console import USAGE, CommandError

    try:
        with file.open("rb") as opened:
            while piece := await asyncio.to_thread(opened.read, _PIECE_BYTES):
                yield piece
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}", exit_code=USAGE) from error


def _row(adapter: AdapterView) -> tuple[str, ...]:
    return (
        adapter.id,
        adapter.family.value,
        str(adapter.rank),
        str(adapter.layers),
        f"{adapter.size_bytes / 1e6:.1f} MB",
        adapter.file_name,
        f"{adapter.created_at:%Y-%m-%d}",
    )


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False))


def _note(text: str) -> None:
    from server.cli.console import notes

    notes().print(text, markup=False)
