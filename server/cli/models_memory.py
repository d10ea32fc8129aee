"""`greenroom models load | unload | loaded`: what the running server has in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import httpx2

_Model = Annotated[
    str, typer.Argument(help="The model's id or alias, see `greenroom models list`.")
]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_LOAD_SECONDS = 900.0


def load(model: _Model) -> None:
    """Load a model on the devices of the running server, before its first picture."""
    _answer("POST", f"/api/v1/models/{model}/load")
    _note(f"'{model}' is in memory.")


def unload(model: _Model) -> None:
    """Give a model's memory back; the next picture loads it again."""
    _answer("POST", f"/api/v1/models/{model}/unload")
    _note(f"'{model}' is out of memory.")


def loaded(as_json: _Json = False) -> None:
    """Show which models each device holds, and how much of it is free."""
    from server.cli.console import print_table

    answer = _answer("GET", "/api/v1/workers")
    if as_json:
        typer.echo(answer.text)
        return
    print_table(
        ("device", "state", "on the device", "beside it", "waiting for memory", "free", "lent"),
        [
            (
                worker["device"],
                worker["state"],
                " ".join(worker["loaded_models"]),
                " ".join(worker["waiting_models"]),
                " ".join(worker["held_models"]),
                _gib(worker["free_bytes"]),
                _gib(worker["lent_bytes"]),
            )
            for worker in answer.json()["items"]
        ],
    )


def _answer(method: str, path: str) -> httpx2.Response:
    import httpx2

    from server.cli.console import CommandError
    from server.cli.presence import running_server
    from server.cli.settings import read_settings
    from server.settings import admin_token

    settings = read_settings()
    url = running_server(settings.data_dir)
    if url is None:
        raise CommandError("no server runs here; start one with: greenroom serve")
    headers = {"Authorization": f"Bearer {admin_token(settings)}"}
    try:
        answer = httpx2.request(method, f"{url}{path}", headers=headers, timeout=_LOAD_SECONDS)
    except httpx2.TransportError as error:
        raise CommandError(f"the server at {url} does not answer: {error}") from error
    if answer.is_error:
        raise CommandError(str(answer.json().get("detail", answer.text)))
    return answer


def _gib(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f"{size_bytes / 2**30:.1f} GiB"


def _note(text: str) -> None:
    from server.cli.console import notes

    notes().print(text, markup=False)
