"""Who calls: a bearer key, or the session cookie of the admin's browser. Nobody else comes in."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from server.domain.errors import ForbiddenError, UnauthorizedError
from server.domain.keys import Caller, Scope
from server.services.services import Services

COOKIE = "greenroom_session"

_bearer = HTTPBearer(
    auto_error=False, scheme_name="key", description="An API key: `Authorization: Bearer KEY`."
)
_cookie = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    scheme_name="session",
    description="Set by the sign-in link that the server prints at its start.",
)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]


async def authenticate(
    services: ServicesDep,
    key: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    session: Annotated[str | None, Depends(_cookie)],
) -> Caller:
    """Return the caller.

    A key wins over a cookie; a wrong key is refused even beside a good cookie.

    Raises:
        UnauthorizedError: neither, or one that is not valid.
    """
    if key is not None:
        caller = await services.keys.authenticate(key.credentials)
    elif session is not None:
        caller = services.keys.authenticate_cookie(session)
    else:
        raise UnauthorizedError(
            "send a key as 'Authorization: Bearer KEY', or open the server's sign-in link"
        )
    structlog.contextvars.bind_contextvars(key_id=caller.key_id)
    return caller


CallerDep = Annotated[Caller, Depends(authenticate)]


async def need_generate(caller: CallerDep) -> None:
    """Let only callers in who may draw."""
    _need(caller, Scope.GENERATE)


async def need_admin(caller: CallerDep) -> None:
    """Let only administrators in."""
    _need(caller, Scope.ADMIN)


def _need(caller: Caller, scope: Scope) -> None:
    if not caller.may(scope):
        raise ForbiddenError(f"this key lacks the scope '{scope.value}'")
