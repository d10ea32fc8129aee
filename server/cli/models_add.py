"""`greenroom models add`: from a repo, an address, a file or a folder to an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.registry.overlay import Fields


def add(
    source: Annotated[
        str,
        typer.Argument(
            help="A hub repo (owner/name), an https address, a .safetensors file or a folder."
        ),
    ],
    model_id: Annotated[
        str | None,
        typer.Option("--id", help="How requests will name it; absent: made from SOURCE."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="sdxl or flux; needed for a hub repo only.")
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            help="For a hub repo: text, fill (repaints and widens) or edit (looks at pictures). "
            "A folder says it itself."
        ),
    ] = "text",
    file: Annotated[
        str | None, typer.Option(help="One .safetensors file of the hub repo, an SDXL checkpoint.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="fp16: fetch the hub repo's half-size weights.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="The file's checksum; needed for an address.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="For people, as the source names it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Add a model of your own to the list."""
    import json

    from server.cli.console import notes
    from server.cli.models import open_registry

    entry = _proposal(source, family=family, task=task, file=file, sha256=sha256)
    entry.update({key: v for key, v in (("id", model_id), ("licence", licence)) if v is not None})
    origin = entry["source"]
    if variant is not None and isinstance(origin, dict):
        origin["variant"] = variant
    registry = open_registry()
    info = registry.add(entry)
    state, reason = registry.status(info.id)
    if as_json:
        typer.echo(json.dumps({"id": info.id, "state": state.value, "reason": reason}))
        return
    notes().print(
        f"Added '{info.id}', {state.value}{f': {reason}' if reason else ''}", markup=False
    )


def _proposal(
    source: str, *, family: str | None, task: str, file: str | None, sha256: str | None
) -> Fields:
    from pathlib import Path

    from server.cli.console import USAGE, CommandError
    from server.registry.proposals import from_hub, from_path, from_url

    if source.startswith(("http://", "https://")):
        if sha256 is None:
            raise CommandError("an address needs --sha256, the file's checksum", exit_code=USAGE)
        return from_url(source, sha256)
    path = Path(source).expanduser()
    if path.exists() or path.is_absolute() or source.endswith(".safetensors"):
        return from_path(path)
    if family is None and file is None:
        raise CommandError(
            f"there is no file or folder '{source}'; for a hub repo say --family sdxl or flux",
            exit_code=USAGE,
        )
    return from_hub(source, family or "sdxl", task=task, file=file)
