"""The OpenAPI document: what the framework derives, and the two forms of errors."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic.json_schema import models_json_schema

from server.api.openai_edits_form import PictureRef
from server.api.openai_errors import OpenAIError
from server.api.openai_views import CompletedImage, PartialImage
from server.api.problems import Problem
from server.services.views import PreviewView, ProgressView, StateView

PATH = "/openapi.json"
# Beside what the routes' signatures say: errors, and the data of events.
_MORE_MODELS = (
    Problem,
    OpenAIError,
    StateView,
    ProgressView,
    PreviewView,
    PartialImage,
    CompletedImage,
)
_MORE_BODIES = (PictureRef,)  # bodies that a route reads by hand
router = APIRouter(include_in_schema=False)

_DESCRIPTION = """\
Draw pictures on your own machine. Send a key as `Authorization: Bearer KEY`; everything but the
health checks and signed links needs one, and a key sees only what is its owner's.

Ids are opaque and grow with time, times are UTC in ISO 8601, lists are `{items, next_cursor}`.
Errors are RFC 9457 problems; under `/v1` they have OpenAI's form.
"""
_TAGS = [
    {"name": "jobs", "description": "Ask for pictures."},
    {"name": "events", "description": "Follow what happens."},
    {"name": "images", "description": "Finished pictures."},
    {"name": "uploads", "description": "Source pictures to start from."},
    {"name": "models", "description": "What can be drawn with."},
    {"name": "adapters", "description": "LoRA files that change what models draw."},
    {"name": "usage", "description": "What was drawn and what it cost."},
    {"name": "connections", "description": "Remote services to draw with; for administrators."},
    {"name": "openai", "description": "For clients that speak OpenAI's form."},
    {"name": "administration", "description": "Keys and workers; for administrators."},
    {"name": "operation", "description": "Health and measurements."},
]


@router.get(PATH)
async def get_document(request: Request) -> JSONResponse:
    """Answer the document itself."""
    return JSONResponse(request.app.openapi())


def install_openapi(app: FastAPI) -> None:
    """Make `app.openapi()` return the complete document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way FastAPI documents it


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary="A self-hosted image server",
        description=_DESCRIPTION,
        routes=app.routes,
        tags=_TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    _, more = models_json_schema(
        [
            *((model, "serialization") for model in _MORE_MODELS),
            *((model, "validation") for model in _MORE_BODIES),
        ],
        ref_template="#/components/schemas/{model}",
    )
    _drop_framework_errors(document)
    schemas = document["components"]["schemas"]
    schemas.update(more["$defs"])
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _drop_framework_errors(document: dict[str, Any]) -> None:
    """Take out the framework's own form of a validation error, which is never answered."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for methods in document["paths"].values():
        for operation in methods.values():
            if "HTTPValidationError" in json.dumps(operation["responses"].get("422")):
                del operation["responses"]["422"]
