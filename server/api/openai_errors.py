"""Errors in OpenAI's form: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from server.api.problems import headers_of, status_of
from server.domain.errors import (
    AppError,
    BudgetExceededError,
    ModelNotFoundError,
    QueueFullError,
    UnauthorizedError,
)
from server.domain.images import Frozen

# The SDKs send a 409 again by themselves, and OpenAI's own routes answer 400 where we say 422.
_STATUS = {409: 400, 422: 400}
# The SDKs and their users look for these words; all other errors keep our own code.
_CODES: Mapping[type[AppError], str] = {
    UnauthorizedError: "invalid_api_key",
    ModelNotFoundError: "model_not_found",
    QueueFullError: "rate_limit_exceeded",
    BudgetExceededError: "insufficient_quota",
}
# Our names of parameters, where OpenAI's differ.
_PARAMETERS = {
    "width": "size",
    "height": "size",
    "aspect_ratio": "size",
    "num_images": "n",
    "format": "output_format",
    "url": "image_url",
}


class ErrorBody(Frozen):
    """What went wrong; `param` names the field at fault, where one is."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Frozen):
    """An error as OpenAI's clients read it."""

    error: ErrorBody


def openai_status(error: AppError) -> int:
    """Return the HTTP status OpenAI's clients expect for `error`."""
    status = status_of(error)
    return _STATUS.get(status, status)


def error_body(error: AppError) -> OpenAIError:
    """Return `error` in OpenAI's words."""
    named = (_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)
    parameter = error.parameter
    return OpenAIError(
        error=ErrorBody(
            message=error.detail,
            type=_type(openai_status(error)),
            param=None if parameter is None else _PARAMETERS.get(parameter, parameter),
            code=next(named, error.code.replace("-", "_")),
        )
    )


def error_response(error: AppError) -> JSONResponse:
    """Answer `error` in OpenAI's form."""
    body = error_body(error).model_dump(mode="json")
    return JSONResponse(body, openai_status(error), headers_of(error))


def bare_error(status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Answer a status that no named error stands for."""
    phrase = HTTPStatus(status).phrase
    error = ErrorBody(message=phrase, type=_type(status), param=None, code=None)
    return JSONResponse(OpenAIError(error=error).model_dump(mode="json"), status, headers)


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    if status == 401:
        return "authentication_error"
    if status == 403:
        return "permission_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's words for error answers of these statuses."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}
            },
        }
        for status in statuses
    }
