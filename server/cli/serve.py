"""`greenroom serve`: listen, say where, and stop without losing anything."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from server.cli.console import CommandError

if TYPE_CHECKING:
    from server.settings import Settings

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - only compared


def serve() -> None:
    """Start the server. Settings are GREENROOM_* variables or the file GREENROOM_CONFIG names."""
    from server.cli.presence import announced
    from server.cli.settings import make_data_dir, read_settings

    settings = read_settings()
    make_data_dir(settings)
    listener = listen(settings.host, settings.port)
    with listener, announced(settings.data_dir, address(listener)):
        from server.cli.listener import run  # slow to import, so only now

        run(settings, listener, address(listener))


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket.

    Raises:
        CommandError: the port is taken or not allowed, or the host is not this machine's.
    """
    import errno

    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: f"port {port} is in use; stop what listens there "
            "or set GREENROOM_PORT to another port",
            errno.EACCES: f"port {port} needs special rights; set GREENROOM_PORT to one above 1023",
        }
        reason = reasons.get(error.errno or 0)
        raise CommandError(
            reason or f"cannot listen on '{host}': {error.strerror}; set GREENROOM_HOST"
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL that a browser on this machine opens."""
    host, port = listener.getsockname()[:2]
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def welcome(settings: Settings, url: str, token: str | None) -> None:
    """Print where the page and the API are.

    Args:
        settings: for the host and the data folder.
        url: where this server answers.
        token: goes into the sign-in link; None where the admin chose it and knows it.
    """
    from rich.text import Text

    from server.cli.console import results

    link = f"{url}/?token={token}" if token else f"{url}/  (sign in with GREENROOM_ADMIN_TOKEN)"
    rows = [
        ("Open", link),
        ("API", f"{url}/v1 for OpenAI clients, {url}/api/v1 for everything"),
        ("Documents", f"{url}/docs"),
        ("Kept in", str(settings.data_dir)),
    ]
    if settings.host in _EVERYWHERE:
        rows.append(
            (
                "Open to",
                "every machine that reaches this one; put TLS in front (docs/operations.md)",
            )
        )
    out = results()
    out.print()
    out.print(Text("  Greenroom", style="bold green"), Text(" is ready", style="green"), sep="")
    for name, value in rows:
        out.print(Text(f"  {name:<11}", style="dim"), Text(value), sep="")
    out.print(Text("  Ctrl-C stops it; unfinished jobs go on at the next start.", style="dim"))
    out.print()
