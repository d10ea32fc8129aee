"""The OpenAPI document is true: whatever it allows is answered as it says, and nothing crashes."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckContext
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.conftest import ADMIN_TOKEN, Running, draw
from tests.api.pictures import png
from tests.api.test_openapi import COMMITTED

pytestmark = pytest.mark.slow

EXAMPLES = 20
DEADLINE_SECONDS = 0.5  # what is drawn here is of no interest
# Streams do not end, and fetching a model would use the network.
ASIDE = r"/events$|/pull$|/pin$|^/metrics$"
schema = schemathesis.openapi.from_dict(json.loads(COMMITTED.read_text("utf-8")))


@schemathesis.check
def no_crash(
    ctx: CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """503, 504, 507 are answers with a name; 500 and 501 are mistakes."""
    del ctx
    assert response.status_code not in (500, 501), (case.method, case.formatted_path, response.text)


CHECKS = [
    no_crash,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="session")
def things(server: Running) -> dict[str, str]:
    """Ids of things that are there, so that not every answer is a 404."""
    client = server.client(ADMIN_TOKEN)
    job = draw(client)
    upload = client.post("/api/v1/uploads", files={"file": png(16, 16)}).json()
    return {
        "job_id": job["id"],
        "image_id": job["images"][0]["id"],
        "upload_id": upload["id"],
        "model_id": "scribble-xl",
    }


@schema.exclude(path_regex=ASIDE).parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_a_documented_one(
    case: schemathesis.Case[Any], server: Running, things: dict[str, str]
) -> None:
    _make_short(case)
    response = case.call_and_validate(
        base_url=server.url,
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
        checks=CHECKS,
    )
    if response.status_code == 404 and case.method == "GET":
        _again_with_what_is_there(case, server, things)
    if case.method == "POST":
        _cancel_all(server)


def _make_short(case: schemathesis.Case[Any]) -> None:
    """Give jobs a deadline, and let nobody revoke, delete or wait for long."""
    if isinstance(case.body, dict) and "prompt" in case.body:
        case.body.setdefault("deadline_seconds", DEADLINE_SECONDS)
    if case.headers:
        case.headers.pop("Prefer", None)


def _again_with_what_is_there(
    case: schemathesis.Case[Any], server: Running, things: dict[str, str]
) -> None:
    if case.path_parameters and set(case.path_parameters) <= set(things):
        case.path_parameters = {name: things[name] for name in case.path_parameters}
        case.call_and_validate(
            base_url=server.url,
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
            checks=CHECKS,
        )


def _cancel_all(server: Running) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    with httpx2.Client(base_url=server.url, headers=headers) as client:
        listed: dict[str, Any] = client.get("/api/v1/jobs?state=queued,running&limit=200").json()
        for job in listed["items"]:
            client.delete(f"/api/v1/jobs/{job['id']}")
