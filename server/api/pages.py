"""The plain page at `/`, its files under `/static`, and the API reference at `/docs`.

No build step: what the browser gets is what lies in `page/`. Strict about content: everything comes
from this server, nothing is inline, so a prompt that looks like HTML stays text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.api.auth import COOKIE
from server.api.signin import signed_in

PAGE_FOLDER: Final = Path(__file__).parent / "page"
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_YEAR_SECONDS: Final = 31_536_000
_MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


class PageFiles(StaticFiles):
    """The page's files: fonts are kept for a year, the rest is asked for again by its ETag."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file at `path` with its media type and cache rule."""
        response = await super().get_response(path, scope)
        suffix = Path(path).suffix
        # Named here, since the machine's own table may call JavaScript text/plain.
        if suffix in _MEDIA_TYPES:
            response.headers["Content-Type"] = _MEDIA_TYPES[suffix]
        lasting = f"public, max-age={_YEAR_SECONDS}, immutable"
        response.headers["Cache-Control"] = lasting if suffix == ".woff2" else "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def install_pages(app: FastAPI) -> None:
    """Serve `/`, `/signin`, `/docs` and `/static/...`.

    Without a session cookie `/` and `/docs` are the sign-in page; `/?token=` signs in. The cookie
    is only looked for, not judged, here: the pages hold no data, every route that does judges it.
    """
    documents = {name: (PAGE_FOLDER / f"{name}.html").read_text("utf-8") for name in _DOCUMENTS}

    async def home(request: Request) -> Response:
        if "token" in request.query_params:  # the link that the server prints
            return signed_in(request, request.query_params["token"])
        return _document(documents["index" if _has_session(request) else "signin"])

    async def reference(request: Request) -> HTMLResponse:
        return _document(documents["reference" if _has_session(request) else "signin"])

    async def signin() -> HTMLResponse:
        return _document(documents["signin"])

    for path, endpoint in (("/", home), ("/docs", reference), ("/signin", signin)):
        app.add_api_route(path, endpoint, methods=["GET"], include_in_schema=False)
    app.mount("/static", PageFiles(directory=PAGE_FOLDER), name="static")


_DOCUMENTS: Final = ("index", "signin", "reference")


def _has_session(request: Request) -> bool:
    return COOKIE in request.cookies


def _document(html: str) -> HTMLResponse:
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Cache-Control": "no-cache",
        # Not "no-referrer": forms would then name no Origin, and the door would refuse them.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Cookie",
    }
    return HTMLResponse(html, headers=headers)
