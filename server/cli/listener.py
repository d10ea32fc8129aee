"""uvicorn as we run it: our socket, our signals, services opened around it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from server.app import configure_logs, create_app
from server.cli.serve import welcome
from server.settings import Settings, admin_token

_LAST_ANSWERS_SECONDS = 5  # for answers under way; streams are ended at once


class Listener(uvicorn.Server):
    """A uvicorn server that leaves signals to `run` and tells when it listens."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        on_listening: Callable[[], None],
        on_stopping: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._on_listening = on_listening
        self._on_stopping = on_stopping

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: uvicorn would raise them again at its end, before the services have ended."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, let the other answers finish, then close."""
        self._on_stopping()
        # Whoever still waits for a job is cut off below. Its job goes on at the next start, so
        # that is no error, and no traceback belongs into the log.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def run(settings: Settings, bound: socket.socket, url: str) -> None:
    """Serve until SIGTERM or SIGINT; then finish answers, stop the workers and close the store.

    Raises:
        AppError: the services cannot be opened.
    """
    configure_logs(settings)
    asyncio.run(_serve(settings, bound, url))


async def _serve(settings: Settings, bound: socket.socket, url: str) -> None:
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        lifespan="off",  # entered below, so that its errors reach the command as they are
        loop="asyncio",
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
    )
    listener = Listener(
        config,
        on_listening=lambda: welcome(settings, url, _token_to_show(settings)),
        on_stopping=lambda: app.state.services.streams.close(),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, listener.handle_exit, number, None)
    async with app.router.lifespan_context(app):
        await listener.serve(sockets=[bound])


def _token_to_show(settings: Settings) -> str | None:
    # A token that somebody chose belongs in no log file; one we made has to be told somewhere.
    if settings.admin_token is not None and not sys.stdout.isatty():
        return None
    return admin_token(settings)
