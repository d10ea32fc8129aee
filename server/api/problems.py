"""Errors as RFC 9457 problems; STATUS is the one table from errors to HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from server.domain.errors import (
    AdapterError,
    AlreadyServingError,
    AppError,
    BudgetExceededError,
    ConflictError,
    DeadlineMissedError,
    FetchFailedError,
    FetchRefusedError,
    ForbiddenError,
    GenerationFailedError,
    GpuMemoryError,
    InvalidRequestError,
    MasterKeyError,
    ModelNotFoundError,
    ModelUnavailableError,
    NotFoundError,
    ProviderError,
    QueueFullError,
    RegistryError,
    RequestRefusedError,
    StorageFullError,
    StorageUnavailableError,
    TooLargeError,
    UnauthorizedError,
    UnreadableImageError,
    WorkerDiedError,
)
from server.domain.images import Frozen

MEDIA_TYPE = "application/problem+json"
STATUS: Mapping[type[AppError], int] = {
    AdapterError: 422,
    AlreadyServingError: 503,
    BudgetExceededError: 402,
    ConflictError: 409,
    DeadlineMissedError: 504,
    FetchFailedError: 502,
    FetchRefusedError: 422,
    ForbiddenError: 403,
    GenerationFailedError: 500,
    GpuMemoryError: 503,
    InvalidRequestError: 422,
    MasterKeyError: 503,
    ModelNotFoundError: 404,
    ModelUnavailableError: 409,
    NotFoundError: 404,
    ProviderError: 502,
    QueueFullError: 429,
    RegistryError: 422,
    RequestRefusedError: 422,
    StorageFullError: 507,
    StorageUnavailableError: 503,
    TooLargeError: 413,
    UnauthorizedError: 401,
    UnreadableImageError: 422,
    WorkerDiedError: 503,
}
_FROM_FRAMEWORK: Mapping[int, AppError] = {
    400: InvalidRequestError("the body cannot be read as its content type says"),
    404: NotFoundError("no such address"),
    413: TooLargeError("the body is larger than this address takes"),
}


class FieldProblem(Frozen):
    """One field that is wrong; `parameter` is its path with dots."""

    parameter: str
    detail: str


class Problem(Frozen):
    """An error. `type` is stable; `parameter` names the field at fault, where one is."""

    type: str
    title: str
    status: int
    detail: str
    parameter: str | None
    errors: tuple[FieldProblem, ...]


class InvalidFieldsError(InvalidRequestError):
    """The request's form is wrong, field by field."""

    def __init__(self, errors: Sequence[FieldProblem]) -> None:
        first = errors[0]
        super().__init__(f"{first.parameter}: {first.detail}", parameter=first.parameter)
        self.errors = tuple(errors)


def status_of(error: AppError) -> int:
    """Return the HTTP status of `error`, or of the named error it is a kind of."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem_response(error: AppError) -> JSONResponse:
    """Answer `error` as a problem."""
    status = status_of(error)
    problem = Problem(
        type=f"/problems/{error.code}",
        title=error.title,
        status=status,
        detail=error.detail,
        parameter=error.parameter,
        errors=error.errors if isinstance(error, InvalidFieldsError) else (),
    )
    headers = headers_of(error)
    return JSONResponse(problem.model_dump(mode="json"), status, headers, media_type=MEDIA_TYPE)


def headers_of(error: AppError) -> dict[str, str]:
    """Return what HTTP wants said beside the body."""
    if isinstance(error, QueueFullError):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, UnauthorizedError):
        return {"WWW-Authenticate": "Bearer"}
    return {}


def framework_error(status: int) -> AppError | None:
    """Return the named error for what the framework itself refuses, where there is one."""
    return _FROM_FRAMEWORK.get(status)


def bare_problem(status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Answer a status that no named error stands for, such as 405."""
    phrase = HTTPStatus(status).phrase
    problem = Problem(
        type="about:blank", title=phrase, status=status, detail=phrase, parameter=None, errors=()
    )
    return JSONResponse(problem.model_dump(mode="json"), status, headers, media_type=MEDIA_TYPE)


def invalid_fields(error: RequestValidationError | ValidationError) -> InvalidFieldsError:
    """Translate a validation error; what was sent is not repeated, since it may be a secret."""
    return InvalidFieldsError([_field_problem(found) for found in error.errors()])


def _field_problem(found: Mapping[str, Any]) -> FieldProblem:
    path = [str(part) for part in found["loc"]]
    # The first part says where it stood (body, query, ...), except in values made by hand.
    inner = path[1:] if path and path[0] in ("body", "query", "path", "header") else path
    if found["type"] == "json_invalid":
        return FieldProblem(parameter="body", detail=f"not JSON: {found['ctx']['error']}")
    return FieldProblem(parameter=".".join(inner) or "body", detail=found["msg"])


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's words for problem answers of these statuses."""
    return {
        status: {
            "description": "; ".join(_titles(status)) or HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def _titles(status: int) -> list[str]:
    return [kind.title for kind, its_status in STATUS.items() if its_status == status]
