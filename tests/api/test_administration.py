from __future__ import annotations

from typing import Any

import httpx2
import pytest

from server.domain.ids import ID_LENGTH
from tests.api.conftest import Running


def test_a_key_is_shown_once_and_listed_without_its_secret(
    server: Running, admin: httpx2.Client
) -> None:
    made = admin.post("/api/v1/keys", json={"name": "for the studio"})
    assert made.status_code == 201
    secret, key = made.json()["secret"], made.json()["key"]
    assert key["scopes"] == ["generate"]
    assert secret.startswith(key["prefix"])
    listing = admin.get("/api/v1/keys")
    assert key in listing.json()["items"]
    assert secret not in listing.text
    server.client(secret).get("/api/v1/jobs")
    used = next(k for k in admin.get("/api/v1/keys").json()["items"] if k["id"] == key["id"])
    assert used["last_used_at"] is not None


def test_a_key_with_the_admin_scope_may_administrate(server: Running) -> None:
    client = server.client(server.new_key(scopes=["admin"]))
    assert client.get("/api/v1/workers").status_code == 200
    assert client.get("/api/v1/jobs").json()["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x\ny"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "owner": "../etc"},
        {"name": "x", "secret": "mine"},
    ],
)
def test_a_wrong_key_request_is_refused(admin: httpx2.Client, body: dict[str, Any]) -> None:
    assert admin.post("/api/v1/keys", json=body).status_code == 422


def test_a_key_that_is_not_there_cannot_be_revoked(admin: httpx2.Client) -> None:
    assert admin.delete(f"/api/v1/keys/{'0' * ID_LENGTH}").status_code == 404


def test_workers_are_listed(admin: httpx2.Client) -> None:
    (worker,) = admin.get("/api/v1/workers").json()["items"]
    assert (worker["device"], worker["state"], worker["epoch"]) == ("cpu", "ready", 1)
    assert isinstance(worker["pid"], int)


def test_a_model_is_loaded_ahead_and_given_up_again(admin: httpx2.Client) -> None:
    admin.post("/api/v1/models/scribble-flux/unload")
    loaded = admin.post("/api/v1/models/scribble-flux/load")
    assert loaded.status_code == 200, loaded.text
    assert (loaded.json()["id"], loaded.json()["loaded"]) == ("scribble-flux", True)
    (worker,) = admin.get("/api/v1/workers").json()["items"]
    assert "scribble-flux" in worker["loaded_models"]
    assert worker["free_bytes"] > 0
    assert (worker["lent_bytes"], worker["loans"], worker["held_models"]) == (0, [], [])
    unloaded = admin.post("/api/v1/models/scribble-flux/unload").json()
    assert unloaded["loaded"] is False
    (worker,) = admin.get("/api/v1/workers").json()["items"]
    assert "scribble-flux" not in worker["loaded_models"]


@pytest.mark.parametrize(("model", "status"), [("nope", 404), ("flux-dev", 409)])
def test_a_model_that_is_not_here_cannot_be_loaded(
    admin: httpx2.Client, model: str, status: int
) -> None:
    assert admin.post(f"/api/v1/models/{model}/load").status_code == status


def test_memory_is_wanted_back_of_a_worker_that_there_is(admin: httpx2.Client) -> None:
    (worker,) = admin.get("/api/v1/workers").json()["items"]
    asked = admin.post(f"/api/v1/workers/{worker['id']}/want-back")
    assert asked.status_code == 200
    assert asked.json()["loans"] == []
    missing = admin.post("/api/v1/workers/nobody/want-back")
    assert missing.status_code == 404
    assert worker["id"] in missing.json()["detail"]
