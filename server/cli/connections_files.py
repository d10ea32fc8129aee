"""`greenroom connections export`, `import` and `rotate-key`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.domain.connections import ConnectionsFile
    from server.store.sealing import Rotation

_STDIO = Path("-")


def export(
    file: Annotated[Path, typer.Argument(help="Where to; absent or -: standard output.")] = _STDIO,
) -> None:
    """Write all connections as JSON, without any key."""
    from server.cli.connections_open import with_connections
    from server.cli.console import CommandError

    exported = with_connections(lambda connections: connections.export())
    text = exported.model_dump_json(indent=2)
    if file == _STDIO:
        typer.echo(text)
        return
    try:
        file.write_text(text + "\n")
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}") from error


def import_file(
    file: Annotated[Path, typer.Argument(help="A file that `export` wrote; -: standard input.")],
) -> None:
    """Make the connections of an exported file, and say which need a key."""
    from server.cli.connections_open import note, with_connections

    read = _read(file)
    done = with_connections(lambda connections: connections.import_(read))
    for skipped in done.skipped:
        note(f"Skipped '{skipped.name}': {skipped.reason}")
    note(f"Made {len(done.created)} of {len(read.connections)} connections.")
    for name in done.needs_key:
        note(f"'{name}' needs a key: greenroom connections edit {name} --key")


def rotate_key(
    forget: Annotated[
        bool,
        typer.Option(
            "--forget",
            help="Go on where keys cannot be read; those connections need theirs again.",
        ),
    ] = False,
) -> None:
    """Encrypt all keys anew with a new master key. A server may run meanwhile."""
    import asyncio

    from server.cli.connections_open import note, open_store
    from server.cli.settings import read_settings

    settings = read_settings()

    async def rotate() -> Rotation:
        async with open_store(settings) as store:
            return await store.sealing.rotate(forget=forget)

    done = asyncio.run(rotate())
    note(f"{done.resealed} keys are encrypted with a new master key.")
    for name in done.forgotten:
        note(f"'{name}' needs its key again: greenroom connections edit {name} --key")
    if settings.master_key is not None:
        note("GREENROOM_MASTER_KEY needs only its first key from now on.")
    elif not done.dropped_old:
        note("The database is busy: the old master key stays in its file until the next rotation.")


def _read(file: Path) -> ConnectionsFile:
    import sys

    from pydantic import ValidationError

    from server.cli.console import USAGE, CommandError
    from server.domain.connections import ConnectionsFile

    try:
        text = sys.stdin.read() if file == _STDIO else file.read_text()
        return ConnectionsFile.model_validate_json(text)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {file}: {error}", exit_code=USAGE) from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CommandError(
            f"{file} holds no connections of this version: {where}: {first['msg']}",
            exit_code=USAGE,
        ) from error
