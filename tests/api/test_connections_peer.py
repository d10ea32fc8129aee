"""Connections to another Greenroom: it has to be asked what its models take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.api.conftest import Running, until
from tests.api.test_connections import CONNECTIONS, delete_all, make


@pytest.fixture(autouse=True)
def clean(admin: httpx2.Client) -> Iterator[None]:
    delete_all(admin)
    yield
    delete_all(admin)


def peer(admin: httpx2.Client, url: str, key: str, **changes: Any) -> dict[str, Any]:
    return make(
        admin,
        name="peer",
        provider="greenroom",
        model="scribble-xl",
        base_url=url,
        key=key,
        **changes,
    )


def model(client: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/v1/models/peer").json()
    return found


def test_it_declares_what_the_other_one_declares(
    server: Running, admin: httpx2.Client, client: httpx2.Client
) -> None:
    made = peer(admin, server.url, server.new_key(), parameters={"num_inference_steps": 3})
    until(lambda: model(client)["state"] == "ready")
    here = client.get("/api/v1/models/scribble-xl").json()
    seen = model(client)
    assert seen["family"] == "remote"
    assert {p["name"] for p in seen["parameters"]} <= {p["name"] for p in here["parameters"]}
    [steps] = [p for p in seen["parameters"] if p["name"] == "num_inference_steps"]
    assert steps["default"] == 3
    found = admin.post(f"{CONNECTIONS}/{made['id']}/test").json()
    assert "scribble-xl" in {one["id"] for one in found["models"]}
    wrong = admin.patch(f"{CONNECTIONS}/{made['id']}", json={"parameters": {"brush": 1}})
    assert (wrong.status_code, wrong.json()["parameter"]) == (422, "parameters")


def test_one_that_is_away_holds_nothing_up_and_says_so(
    admin: httpx2.Client, client: httpx2.Client
) -> None:
    started = time.monotonic()
    made = peer(admin, "http://127.0.0.1:9", "gr-key", parameters={"num_inference_steps": 3})
    assert time.monotonic() - started < 10
    until(lambda: "reached" in (model(client)["reason"] or ""))
    assert model(client)["state"] == "broken"
    assert admin.get(f"{CONNECTIONS}/{made['id']}").json()["reason"] == model(client)["reason"]
    started = time.monotonic()
    assert client.get("/api/v1/models").status_code == 200
    assert time.monotonic() - started < 1


def test_a_wrong_key_is_said_before_anything_is_drawn(
    server: Running, admin: httpx2.Client, client: httpx2.Client
) -> None:
    made = peer(admin, server.url, "gr-a-key-that-is-none")
    until(lambda: "key" in (model(client)["reason"] or ""))
    failed = admin.post(f"{CONNECTIONS}/{made['id']}/test")
    assert (failed.status_code, failed.json()["type"]) == (502, "/problems/provider-key")
