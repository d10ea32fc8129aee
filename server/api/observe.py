"""What happened: a request id, one log line and one measurement a request, and the 500 answer."""

from __future__ import annotations

import secrets
import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.answers import answer_crash
from server.api.metrics import HttpMetrics

log = structlog.get_logger(__name__)

_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})  # asked every few seconds


class Observe:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, watch the answer, and give one where everything else failed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        status = 0
        start = time.perf_counter()

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, watched_send)
            except ClientDisconnect:
                log.debug("http.hung_up", route=_route(scope))  # in the middle of its own body
            except Exception:
                # Also a mistake of ours is answered, in a documented form and without details.
                log.exception("http.crashed", method=scope["method"], route=_route(scope))
                if status:
                    raise  # too late for an answer: let the connection break
                await answer_crash(scope)(scope, receive, watched_send)
            finally:
                self._note(scope, status or 499, time.perf_counter() - start)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = _route(scope)
        self._metrics.observe(scope["method"], route, status, seconds)
        say = log.debug if route in _QUIET else log.info
        # Only the template: an address may hold a token or a prompt.
        say(
            "http.request",
            method=scope["method"],
            route=route,
            status=status,
            duration_seconds=round(seconds, 4),
        )


def _route(scope: Scope) -> str:
    path: str = getattr(scope.get("route"), "path", "none")
    return path
