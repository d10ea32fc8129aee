"""Connections over HTTP: made, changed, tested, copied, ordered, carried to another server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from server.domain.ids import ID_LENGTH
from tests.remote_service import RemoteService, remote_service

CONNECTIONS = "/api/v1/connections"


@pytest.fixture
def service() -> Iterator[RemoteService]:
    with remote_service() as running:
        yield running


@pytest.fixture(autouse=True)
def clean(admin: httpx2.Client) -> Iterator[None]:
    """Begin and end without a connection: the server is everybody's."""
    delete_all(admin)
    yield
    delete_all(admin)


def delete_all(admin: httpx2.Client) -> None:
    for one in admin.get(CONNECTIONS).json()["items"]:
        assert admin.delete(f"{CONNECTIONS}/{one['id']}").status_code == 204


def make(admin: httpx2.Client, **changes: Any) -> dict[str, Any]:
    body = {"name": "nano", "provider": "openai", "model": "gpt-image-1.5", "key": "sk-good"}
    response = admin.post(CONNECTIONS, json=body | changes)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    assert response.headers["Location"] == f"{CONNECTIONS}/{made['id']}"
    return made


def names(admin: httpx2.Client) -> list[str]:
    return [one["name"] for one in admin.get(CONNECTIONS).json()["items"]]


def test_a_connection_is_made_looked_at_changed_and_deleted(admin: httpx2.Client) -> None:
    made = make(admin, takes_pictures=True)
    assert (made["has_key"], made["is_active"], made["reason"]) == (True, True, None)
    assert admin.get(f"{CONNECTIONS}/{made['id']}").json() == made
    changed = admin.patch(f"{CONNECTIONS}/{made['id']}", json={"name": "other", "concurrency": 2})
    assert changed.status_code == 200, changed.text
    kept = {k: v for k, v in made.items() if k not in ("name", "concurrency", "updated_at")}
    assert kept.items() <= changed.json().items()
    assert (changed.json()["name"], changed.json()["concurrency"]) == ("other", 2)
    assert admin.delete(f"{CONNECTIONS}/{made['id']}").status_code == 204
    assert admin.get(f"{CONNECTIONS}/{made['id']}").status_code == 404


def test_the_key_stays_until_another_one_or_none_is_given(
    admin: httpx2.Client, service: RemoteService
) -> None:
    made = make(admin, base_url=service.url)
    where = f"{CONNECTIONS}/{made['id']}"
    assert admin.patch(where, json={"is_trusted": True}).json()["has_key"]
    assert admin.post(f"{where}/test").status_code == 200
    assert admin.patch(where, json={"key": "sk-other"}).json()["has_key"]
    refused = admin.post(f"{where}/test")
    assert (refused.status_code, refused.json()["type"]) == (502, "/problems/provider-key")
    assert not admin.patch(where, json={"key": None}).json()["has_key"]
    assert service.seen[0] == "Bearer sk-good"
    assert service.seen[-1] == "Bearer sk-other"


def test_a_key_goes_to_no_other_address_unless_it_is_given_again(
    admin: httpx2.Client, service: RemoteService
) -> None:
    where = f"{CONNECTIONS}/{make(admin)['id']}"
    for change in ({"base_url": service.url}, {"provider": "gemini"}):
        refused = admin.patch(where, json=change)
        assert (refused.status_code, refused.json()["parameter"]) == (422, "key")
    assert admin.patch(where, json={"base_url": service.url, "key": "sk-good"}).status_code == 200
    assert admin.post(f"{where}/test").status_code == 200
    # Another path of the same server is no other address.
    assert admin.patch(where, json={"base_url": f"{service.url}/v2"}).status_code == 200
    assert admin.patch(where, json={"base_url": None, "key": None}).json()["base_url"] is None


def test_a_test_tells_what_the_service_says(admin: httpx2.Client, service: RemoteService) -> None:
    where = f"{CONNECTIONS}/{make(admin, base_url=service.url)['id']}"
    found = admin.post(f"{where}/test").json()
    assert {"gpt-image-1.5", "painter-xl"} <= {model["id"] for model in found["models"]}
    assert found["seconds"] > 0
    listed = admin.get(f"{where}/models").json()
    assert {model["id"] for model in listed["models"]} == {m["id"] for m in found["models"]}
    assert listed["age_seconds"] >= 0
    assert listed["problem"] is None


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (401, "/problems/provider-key"),
        (429, "/problems/provider-rate-limited"),
        (503, "/problems/provider-unreachable"),
    ],
)
def test_a_test_that_fails_says_why_by_name(
    admin: httpx2.Client, service: RemoteService, status: int, problem: str
) -> None:
    service.status = status
    where = f"{CONNECTIONS}/{make(admin, base_url=service.url)['id']}"
    failed = admin.post(f"{where}/test")
    assert (failed.status_code, failed.json()["type"]) == (502, problem)


def test_a_service_that_is_away_is_unreachable_and_its_known_models_are_listed(
    admin: httpx2.Client,
) -> None:
    where = f"{CONNECTIONS}/{make(admin, base_url='http://127.0.0.1:9/v1')['id']}"
    failed = admin.post(f"{where}/test")
    assert (failed.status_code, failed.json()["type"]) == (502, "/problems/provider-unreachable")
    listed = admin.get(f"{where}/models").json()
    assert listed["age_seconds"] is None
    assert listed["problem"]


def test_an_active_connection_is_a_model_for_every_key(
    admin: httpx2.Client, client: httpx2.Client
) -> None:
    made = make(admin)
    model = client.get("/api/v1/models/nano").json()
    assert (model["id"], model["family"], model["state"]) == ("nano", "remote", "ready")
    assert model in client.get("/api/v1/models").json()["items"]
    assert "nano" in {m["id"] for m in client.get("/v1/models").json()["data"]}
    assert client.get("/v1/models/nano").json()["id"] == "nano"
    admin.patch(f"{CONNECTIONS}/{made['id']}", json={"is_active": False})
    assert client.get("/api/v1/models/nano").status_code == 404
    assert "nano" not in client.get("/v1/models").text


def test_without_the_key_that_it_needs_it_is_listed_and_says_so(
    admin: httpx2.Client, client: httpx2.Client
) -> None:
    made = make(admin, key=None)
    assert (made["needs_a_key"], made["reason"]) == (True, "it has no key; give it one")
    model = client.get("/api/v1/models/nano").json()
    assert (model["state"], model["reason"]) == ("broken", made["reason"])
    assert "nano" not in client.get("/v1/models").text


def test_defaults_are_checked_and_become_the_models_defaults(admin: httpx2.Client) -> None:
    body = {"name": "nano", "provider": "openai", "model": "gpt-image-1.5"}
    for wrong in ({"brush": 3}, {"quality": "splendid"}, {"quality": 7}):
        refused = admin.post(CONNECTIONS, json=body | {"parameters": wrong})
        assert refused.status_code == 422, wrong
        assert next(iter(wrong)) in refused.json()["detail"]
    make(admin, parameters={"quality": "high"})
    [quality] = [
        option
        for option in admin.get("/api/v1/models/nano").json()["remote"]["options"]
        if option["name"] == "quality"
    ]
    assert quality["default"] == "high"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Not A Name"},
        {"provider": "unknown"},
        {"base_url": "ftp://x.example"},
        {"base_url": "https://me:secret@x.example"},
        {"base_url": "https://x.example/?key=secret"},
        {"base_url": "https://x..example"},
        {"base_url": f"https://{'x' * 64}.example"},
        {"base_url": "https://[::::]/"},
        {"base_url": "https://x.example:99999"},
        {"base_url": "http://bücher.example"},
        {"base_url": "http://x.example/ä"},
        {"key": "two words"},
        {"key": "line\r\nX-Evil: 1"},
        {"key": ""},
        {"concurrency": 0},
        {"provider": "greenroom"},
        {"id": "0" * ID_LENGTH},
    ],
)
def test_what_makes_no_sense_is_refused(admin: httpx2.Client, wrong: dict[str, Any]) -> None:
    body = {"name": "nano", "provider": "openai", "model": "m", "key": "sk-good"}
    refused = admin.post(CONNECTIONS, json=body | wrong)
    assert refused.status_code == 422, refused.text
    assert "secret" not in refused.text
    assert names(admin) == []


def test_a_name_is_a_models_or_a_connections_never_both(admin: httpx2.Client) -> None:
    first = make(admin)
    for taken in ("nano", "scribble-xl"):
        body = {"name": taken, "provider": "openai", "model": "m"}
        assert admin.post(CONNECTIONS, json=body).status_code == 409
    second = make(admin, name="second")
    where = f"{CONNECTIONS}/{second['id']}"
    assert admin.patch(where, json={"name": "nano"}).status_code == 409
    assert admin.patch(where, json={"name": "scribble-xl"}).status_code == 409
    model = {"hub": "some/model", "family": "sdxl", "id": first["name"]}
    assert admin.post("/api/v1/models", json=model).status_code == 409


def test_a_copy_has_the_key_and_a_name_of_its_own(
    admin: httpx2.Client, service: RemoteService
) -> None:
    made = make(admin, base_url=service.url, is_trusted=True)
    where = f"{CONNECTIONS}/{made['id']}/duplicate"
    copies = [admin.post(where, json={}).json() for _ in range(2)]
    assert [copy["name"] for copy in copies] == ["nano-copy", "nano-copy-2"]
    assert admin.post(where, json={"name": "nano"}).status_code == 409
    assert all(copy["is_trusted"] and copy["has_key"] for copy in copies)
    assert admin.post(f"{CONNECTIONS}/{copies[1]['id']}/test").status_code == 200


def test_the_order_is_what_the_owner_says(admin: httpx2.Client) -> None:
    a, b, c = (make(admin, name=name)["id"] for name in "abc")
    listed = admin.post(f"{CONNECTIONS}/order", json={"ids": [c, a]}).json()["items"]
    assert [one["name"] for one in listed] == names(admin) == ["c", "a", "b"]
    models = [m["id"] for m in admin.get("/api/v1/models").json()["items"]]
    assert models[-3:] == ["c", "a", "b"]
    for wrong, status in (([b, b], 422), (["0" * ID_LENGTH], 404), ([], 422)):
        refused = admin.post(f"{CONNECTIONS}/order", json={"ids": wrong})
        assert refused.status_code == status
    assert names(admin) == ["c", "a", "b"]


def test_an_export_comes_back_without_keys(admin: httpx2.Client) -> None:
    make(admin, parameters={"quality": "low"}, takes_pictures=True)
    local = make(admin, name="local-ai", base_url="http://127.0.0.1:9/v1", key=None)
    exported = admin.get(f"{CONNECTIONS}/export").json()
    assert "sk-good" not in str(exported)
    again = admin.post(f"{CONNECTIONS}/import", json=exported).json()
    assert again["created"] == []
    assert [one["name"] for one in again["skipped"]] == ["nano", "local-ai"]
    delete_all(admin)
    done = admin.post(f"{CONNECTIONS}/import", json=exported).json()
    assert (done["needs_key"], done["skipped"]) == (["nano"], [])
    assert admin.get(f"{CONNECTIONS}/export").json() == exported
    assert [one["has_key"] for one in done["created"]] == [False, False]
    assert done["created"][1]["base_url"] == local["base_url"]


def test_a_file_of_another_version_is_refused(admin: httpx2.Client) -> None:
    file = {"type": "greenroom-connections", "version": 2, "connections": []}
    assert admin.post(f"{CONNECTIONS}/import", json=file).status_code == 422
    assert admin.post(f"{CONNECTIONS}/import", json={}).status_code == 422


def test_every_kind_of_service_says_what_a_connection_needs(admin: httpx2.Client) -> None:
    kinds = {one["kind"]: one for one in admin.get("/api/v1/providers").json()["items"]}
    assert set(kinds) == {"gemini", "openai", "greenroom"}
    assert kinds["greenroom"]["needs_base_url"]
    assert not kinds["gemini"]["needs_base_url"]
    models = kinds["gemini"]["models"]
    assert all(model["remote"]["service"] == "gemini" for model in models)
    assert any(model["remote"]["options"] for model in models)


def test_a_key_without_the_scope_sees_no_connection_but_its_model(
    admin: httpx2.Client, client: httpx2.Client
) -> None:
    made = make(admin, base_url="http://127.0.0.1:9/v1")
    for path in (CONNECTIONS, f"{CONNECTIONS}/{made['id']}", f"{CONNECTIONS}/export"):
        assert client.get(path).status_code == 403
    seen = client.get("/api/v1/models/nano").text
    assert "127.0.0.1" not in seen
    assert "sk-good" not in seen
