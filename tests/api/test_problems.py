from __future__ import annotations

import json

import pytest
from fastapi.exceptions import RequestValidationError

from server.api.openai_errors import error_response, openai_status
from server.api.problems import STATUS, invalid_fields, problem_response, status_of
from server.domain.errors import (
    AppError,
    ConflictError,
    InvalidRequestError,
    ModelNotFoundError,
    QueueFullError,
    RequestRefusedError,
    UnauthorizedError,
)


def test_every_error_has_a_status() -> None:
    assert set(STATUS) == set(AppError.__subclasses__())


def test_every_code_and_title_is_its_own() -> None:
    assert len({error.code for error in STATUS}) == len(STATUS)
    assert len({error.title for error in STATUS}) == len(STATUS)


def test_a_problem_names_its_type_status_and_field() -> None:
    response = problem_response(RequestRefusedError("no such style", parameter="style"))
    assert (response.status_code, response.media_type) == (422, "application/problem+json")
    assert json.loads(bytes(response.body)) == {
        "type": "/problems/request-refused",
        "title": "The model cannot do this",
        "status": 422,
        "detail": "no such style",
        "parameter": "style",
        "errors": [],
    }


def test_a_full_queue_says_when_to_come_again() -> None:
    response = problem_response(QueueFullError("full", retry_after_seconds=7))
    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert error_response(QueueFullError("full", retry_after_seconds=7)).headers["Retry-After"] == (
        "7"
    )


def test_a_missing_key_says_how_to_send_one() -> None:
    assert problem_response(UnauthorizedError("x")).headers["WWW-Authenticate"] == "Bearer"


def test_a_kind_of_a_named_error_has_its_status() -> None:
    error = invalid_fields(
        RequestValidationError(
            [
                {"type": "int_type", "loc": ("body", "adapters", 0, "weight"), "msg": "bad"},
                {"type": "missing", "loc": ("body",), "msg": "Field required"},
            ]
        )
    )
    assert isinstance(error, InvalidRequestError)
    assert status_of(error) == 422
    assert [(e.parameter, e.detail) for e in error.errors] == [
        ("adapters.0.weight", "bad"),
        ("body", "Field required"),
    ]


@pytest.mark.parametrize(
    ("error", "status", "kind", "code", "param"),
    [
        (UnauthorizedError("x"), 401, "authentication_error", "invalid_api_key", None),
        (
            ModelNotFoundError("x", parameter="model"),
            404,
            "invalid_request_error",
            "model_not_found",
            "model",
        ),
        (
            RequestRefusedError("x", parameter="width"),
            400,
            "invalid_request_error",
            "request_refused",
            "size",
        ),
        (ConflictError("x"), 400, "invalid_request_error", "conflict", None),
        (
            QueueFullError("x", retry_after_seconds=1),
            429,
            "rate_limit_error",
            "rate_limit_exceeded",
            None,
        ),
    ],
)
def test_openai_gets_errors_in_its_own_words(
    error: AppError, status: int, kind: str, code: str, param: str | None
) -> None:
    response = error_response(error)
    assert response.status_code == status == openai_status(error)
    assert json.loads(bytes(response.body)) == {
        "error": {"message": "x", "type": kind, "param": param, "code": code}
    }
