"""Which form an error takes: each surface speaks its own, everything else is a problem."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from server.api import openai_errors, problems
from server.domain.errors import AppError

OPENAI_PREFIX = "/v1/"


def answer_error(scope: Scope, error: AppError) -> Response:
    """Answer `error` in the form of the surface that was called."""
    if scope["path"].startswith(OPENAI_PREFIX):
        return openai_errors.error_response(error)
    return problems.problem_response(error)


def answer_crash(scope: Scope) -> Response:
    """Answer 500 without a word of what happened; that is in the log."""
    if scope["path"].startswith(OPENAI_PREFIX):
        return openai_errors.bare_error(500)
    return problems.bare_problem(500)


def install_handlers(app: FastAPI) -> None:
    """Make every refusal, ours or the framework's, one of the documented forms."""

    @app.exception_handler(AppError)
    async def on_app_error(request: Request, error: AppError) -> Response:
        return answer_error(request.scope, error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        return answer_error(request.scope, problems.invalid_fields(error))

    @app.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            error.headers = {"Allow": ", ".join(_methods(app, request))}
        named = problems.framework_error(error.status_code)
        if named is not None:
            return answer_error(request.scope, named)
        if request.scope["path"].startswith(OPENAI_PREFIX):
            return openai_errors.bare_error(error.status_code, error.headers)
        return problems.bare_problem(error.status_code, error.headers)


def _methods(app: FastAPI, request: Request) -> list[str]:
    """Return what the address does take; the framework names one route's methods only."""
    path = getattr(request.scope.get("route"), "path", None)
    found = {
        method
        for context in iter_route_contexts(app.routes)
        if context.path == path
        for method in context.methods or ()
    }
    return sorted(found)
