"""The door: whose names we answer to, which pages may send, what browsers may do with answers."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.answers import answer_error
from server.domain.errors import ForbiddenError

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",  # previews come as base64
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware that checks Host and Origin and adds security headers.

    Host: a page of a foreign name that resolves to this machine (DNS rebinding) is same-origin to
    the browser, so only loopback names, IP addresses and configured names are answered.
    Origin: a foreign page may not change anything here, nor use the cookie.

    Args:
        app: what is behind the door.
        allowed_hosts: names this server is reached by, without port.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 at once, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refusal(scope["method"], Headers(scope=scope))
        if refused is None:
            await self._app(scope, receive, send_with_headers)
        else:
            await answer_error(scope, refused)(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> ForbiddenError | None:
        host = headers.get("host", "").lower()
        if not self._is_ours(_name(host)):
            return ForbiddenError(
                "this server does not answer to that Host; "
                "its operator can add the name to GREENROOM_ALLOWED_HOSTS"
            )
        is_change = method not in _SAFE_METHODS
        if (is_change or "cookie" in headers) and _is_foreign(headers, host, is_change=is_change):
            return ForbiddenError("a page of another origin may not do this")
        return None

    def _is_ours(self, name: str) -> bool:
        if name == "localhost" or name.endswith(".localhost") or name in self._allowed_hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _name(host: str) -> str:
    """Return a Host without port, brackets and the root's dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def _is_foreign(headers: Headers, host: str, *, is_change: bool) -> bool:
    origin = headers.get("origin")
    if origin is None:
        # Browsers that send no Origin still say where a request comes from; programs say nothing.
        site = headers.get("sec-fetch-site", "none")
        return is_change and site not in ("same-origin", "none")
    scheme, _, authority = origin.lower().partition("://")
    # Not the scheme: a proxy may take TLS off on the way.
    return not authority or _with_port(authority, scheme) not in (
        _with_port(host, "http"),
        _with_port(host, "https"),
    )


def _with_port(authority: str, scheme: str) -> str:
    has_port = ":" in authority.rpartition("]")[2]
    return authority if has_port else f"{authority}:{_DEFAULT_PORTS.get(scheme, '')}"
