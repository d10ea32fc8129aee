"""Chains over HTTP, and what is seen of connections that are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.api.conftest import SMALL
from tests.serving import free_port

CHAINS = "/api/v1/chains"
AWAY = "gone-away"


@pytest.fixture(scope="module")
def away(admin: httpx2.Client) -> Iterator[str]:
    """A connection to an address where nobody listens."""
    body: dict[str, Any] = {
        "name": AWAY,
        "provider": "openai",
        "model": "painter-9",
        "base_url": f"http://127.0.0.1:{free_port()}/v1",
        "concurrency": 1,
    }
    made = admin.post("/api/v1/connections", json=body)
    assert made.status_code == 201, made.text
    connection_id = made.json()["id"]
    yield connection_id
    admin.delete(f"{CHAINS}/{AWAY}")
    assert admin.delete(f"/api/v1/connections/{connection_id}").status_code == 204


def draw(client: httpx2.Client, **request: Any) -> dict[str, Any]:
    body = {"prompt": "a fox", "model": AWAY, **request}
    response = client.post("/api/v1/jobs", json=body, headers={"Prefer": "wait=60"})
    assert response.status_code == 200, response.text
    job: dict[str, Any] = response.json()
    return job


def test_a_chain_is_set_looked_at_and_forgotten(admin: httpx2.Client, away: str) -> None:
    assert away
    put = admin.put(f"{CHAINS}/scribble-xl", json={"members": [AWAY, "scribble-flux"]})
    expected = {
        "model": "scribble-xl",
        "is_own": True,
        "members": [
            {"name": AWAY, "kind": "remote"},
            {"name": "scribble-flux", "kind": "local"},
        ],
    }
    assert (put.status_code, put.json()) == (200, expected)
    assert admin.get(f"{CHAINS}/scribble-xl").json() == expected
    assert expected in admin.get(CHAINS).json()["items"]
    assert admin.delete(f"{CHAINS}/scribble-xl").status_code == 204
    assert admin.get(f"{CHAINS}/scribble-xl").json()["members"] == []
    assert admin.delete(f"{CHAINS}/scribble-xl").status_code == 404


@pytest.mark.parametrize(
    ("members", "said"), [(["nobody-there"], "is no model"), (["scribble-xl"], "asked twice")]
)
def test_a_chain_that_leads_nowhere_is_refused(
    members: list[str], said: str, admin: httpx2.Client
) -> None:
    response = admin.put(f"{CHAINS}/scribble-xl", json={"members": members})
    assert (response.status_code, response.json()["parameter"]) == (422, "members")
    assert said in response.json()["detail"]
    assert admin.put(f"{CHAINS}/nobody", json={"members": []}).status_code == 404


def test_a_connection_that_does_not_answer_is_passed_and_the_job_tells_of_it(
    admin: httpx2.Client, client: httpx2.Client, away: str
) -> None:
    admin.put(f"{CHAINS}/{AWAY}", json={"members": ["scribble-xl"]})
    job = draw(client, num_images=2)
    assert [image["served_by"] for image in job["images"]] == ["local-cpu", "local-cpu"]
    assert [member["name"] for member in job["route"]] == [AWAY, "scribble-xl"]
    (line,) = job["tried"]
    assert (line["member"], line["outcome"]) == (AWAY, "failed")
    assert (line["code"], line["may_have_billed"]) == ("provider-unreachable", False)
    assert line["pictures"] == [0, 1]
    assert client.get(f"/api/v1/jobs/{job['id']}").json()["tried"] == job["tried"]
    listed = client.get("/api/v1/jobs").json()["items"]
    assert listed[0]["tried"] == job["tried"]
    health = admin.get(f"/api/v1/connections/{away}/health").json()
    assert health["last_error"]["code"] == "provider-unreachable"
    assert health["failures"] >= 1
    assert health["calls_ended"]["failed"] >= 1
    metrics = admin.get("/metrics").text
    assert f'greenroom_connection_calls_total{{connection="{AWAY}",outcome="failed"}}' in metrics
    assert f'greenroom_connection_state{{connection="{AWAY}",state="closed"}}' in metrics


def test_a_request_that_may_go_nowhere_else_fails_with_the_services_error(
    admin: httpx2.Client, client: httpx2.Client, away: str
) -> None:
    assert away
    admin.put(f"{CHAINS}/{AWAY}", json={"members": ["scribble-xl"]})
    job = draw(client, fallback="never")
    assert (job["state"], job["error"]["code"]) == ("failed", "provider-unreachable")
    assert job["fallback"] == "never"
    assert [m["code"] for m in job["route"]] == [None, "fallback-never"]


def test_an_estimate_names_who_would_draw_and_who_after_that(
    admin: httpx2.Client, client: httpx2.Client, away: str
) -> None:
    assert away
    admin.put(f"{CHAINS}/{AWAY}", json={"members": ["scribble-xl"]})
    body = {"prompt": "a fox", "model": AWAY}
    estimate = client.post("/api/v1/estimates", json=body).json()
    assert (estimate["served_by"], estimate["model"]) == (AWAY, AWAY)
    assert [member["name"] for member in estimate["route"]] == [AWAY, "scribble-xl"]
    here = client.post("/api/v1/estimates", json={"prompt": "a fox", **SMALL}).json()
    assert here["served_by"] == "local"


def test_a_connection_that_is_not_there_has_no_health(admin: httpx2.Client) -> None:
    assert admin.get("/api/v1/connections/nobody/health").status_code == 404
