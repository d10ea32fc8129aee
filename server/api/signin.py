"""Signing a browser in and out: the printed link, as Jupyter does it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from server.api.auth import COOKIE, ServicesDep

public = APIRouter(include_in_schema=False)
private = APIRouter(include_in_schema=False)

_HOME = "/"
_REFUSED = "/signin#refused"


def signed_in(request: Request, token: str) -> Response:
    """Set the session's cookie and lead to the page, under an address without the token.

    A wrong token leads to the sign-in page, which says so.
    """
    keys = request.app.state.services.keys
    if not keys.is_admin_token(token):
        return RedirectResponse(_REFUSED, 303)
    response = RedirectResponse(_HOME, 303)
    response.set_cookie(
        COOKIE,
        keys.session_cookie(),
        max_age=90 * 86_400,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@public.post("/signin")
async def sign_in(request: Request, token: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Sign in with the token of the printed link."""
    return signed_in(request, token)


@private.post("/signout")
async def sign_out(services: ServicesDep) -> Response:
    """Forget the session in this browser."""
    del services
    response = RedirectResponse("/signin", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response
