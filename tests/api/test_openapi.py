"""The OpenAPI document is complete, and the committed one is the present one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from server.api.routes import install

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = FastAPI(title="Greenroom", version="1", openapi_url=None)
    install(app, allowed_hosts=())
    described: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return described


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_committed_document_is_the_present_one(document: dict[str, Any]) -> None:
    committed = json.loads(COMMITTED.read_text("utf-8"))
    committed["info"]["version"] = "1"
    assert committed == document, "run `python -m tests.api.write_openapi`"


def test_the_server_answers_it_to_callers(client: httpx2.Client, nobody: httpx2.Client) -> None:
    assert client.get("/openapi.json").json()["info"]["title"] == "Greenroom"
    assert nobody.get("/openapi.json").status_code == 401


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert set(operation["tags"]) <= tags, (method, path)
        assert operation["operationId"].isidentifier()


def test_every_operation_that_needs_a_caller_says_so(document: dict[str, Any]) -> None:
    opened = {path for _, path, operation in operations(document) if "security" not in operation}
    assert opened == {"/health/live", "/health/ready", "/v1/files/images/{image_id}"}
    for _, path, operation in operations(document):
        if path not in opened:
            assert {"401", "403", "500"} <= set(operation["responses"]), path


def test_every_error_has_its_surfaces_form(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400" and path != "/health/ready":
                form = "OpenAIError" if path.startswith("/v1/") else "Problem"
                (content,) = response["content"].values()
                assert content["schema"]["$ref"].endswith(f"/{form}"), (method, path, status)


def test_views_have_no_optional_fields(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        if name.endswith("View"):
            assert set(schema["required"]) == set(schema["properties"]), name


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for part in json.dumps(document).split('"$ref": "')[1:]:
        assert part.partition('"')[0].removeprefix("#/components/schemas/") in schemas
