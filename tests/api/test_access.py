"""Nothing is open but the named few, and nobody sees what is another's: route by route."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from server.domain.ids import ID_LENGTH
from tests.api.conftest import Running, draw
from tests.api.pictures import png

# Open to all. `/` and what belongs to the page hold no data; a link carries its own permission.
OPEN = {
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/v1/files/images/{image_id}"),
    ("POST", "/signin"),
}
PAGES = {"/", "/signin", "/docs"}
ADMIN_ONLY = re.compile(
    r"^/metrics$|^/api/v1/(keys|workers|connections|providers|chains)|^/api/v1/(models|adapters).*#(POST|PUT|DELETE|PATCH)$"
)
NOBODYS_ID = "0" * ID_LENGTH


@dataclass(frozen=True)
class Walked:
    method: str
    path: str

    @property
    def is_open(self) -> bool:
        return (self.method, self.path) in OPEN or (
            self.method in ("GET", "HEAD") and self.path in PAGES
        )

    def address(self, **ids: str) -> str:
        """Return the path with ids filled in."""
        return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: ids.get(found[1], NOBODYS_ID), self.path)


def walk(app: FastAPI) -> list[Walked]:
    """Return every method of every route; what is mounted beside them is listed apart."""
    return [
        Walked(method, str(context.path))
        for context in iter_route_contexts(app.routes)
        for method in sorted(context.methods or ())
    ]


def test_every_route_is_walked(app: FastAPI) -> None:
    routes = walk(app)
    assert {("POST", "/api/v1/jobs"), ("GET", "/metrics"), ("GET", "/openapi.json")} <= {
        (route.method, route.path) for route in routes
    }
    mounted = {route.path for route in app.routes if isinstance(route, Mount)}
    assert mounted <= {"/static"}


def test_no_route_answers_a_stranger_but_the_named_few(app: FastAPI, nobody: httpx2.Client) -> None:
    for route in walk(app):
        response = nobody.request(route.method, route.address(), json={}, follow_redirects=False)
        if not route.is_open:
            assert response.status_code == 401, (route, response.text)


@pytest.mark.parametrize("path", ["/static/../server/app.py", "/static/%2e%2e/pages.py"])
def test_the_pages_files_lead_nowhere_else(nobody: httpx2.Client, path: str) -> None:
    assert nobody.get(path).status_code == 404


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer wrong", "Basic YTpi", "wrong", "bearer gr-x"],
)
def test_a_wrong_key_is_refused(nobody: httpx2.Client, authorization: str) -> None:
    response = nobody.get("/api/v1/jobs", headers={"Authorization": authorization})
    assert (response.status_code, response.json()["type"]) == (401, "/problems/unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_in_the_address_is_no_key(server: Running, nobody: httpx2.Client) -> None:
    key = server.new_key()
    for name in ("token", "key", "api_key", "access_token"):
        assert nobody.get("/api/v1/jobs", params={name: key}).status_code == 401


def test_a_revoked_key_is_worthless_at_once(server: Running, admin: httpx2.Client) -> None:
    made = admin.post("/api/v1/keys", json={"name": "short-lived"}).json()
    client = server.client(made["secret"])
    assert client.get("/api/v1/jobs").status_code == 200
    assert admin.delete(f"/api/v1/keys/{made['key']['id']}").json()["revoked_at"]
    assert client.get("/api/v1/jobs").status_code == 401


def test_what_is_for_administrators_is_refused_to_others(
    app: FastAPI, client: httpx2.Client
) -> None:
    seen = 0
    for route in walk(app):
        if ADMIN_ONLY.search(route.path) or ADMIN_ONLY.search(f"{route.path}#{route.method}"):
            response = client.request(route.method, route.address(model_id="scribble-xl"), json={})
            assert response.status_code == 403, (route, response.text)
            seen += 1
    assert seen == 33


def test_key_b_gets_404_for_everything_of_key_a(app: FastAPI, server: Running) -> None:
    mine, other = server.new_client(), server.new_client()
    job = draw(mine)
    upload = mine.post("/api/v1/uploads", files={"file": png(16, 16)}).json()
    ids = {"job_id": job["id"], "image_id": job["images"][0]["id"], "upload_id": upload["id"]}
    shared = {
        "key_id",
        "model_id",
        "adapter_id",
        "connection_id",
        "worker_id",
        "name",
    }  # nobody's own: administrators', or everyone's
    seen = set()
    for route in walk(app):
        names = set(re.findall(r"\{(\w+)", route.path))
        assert names <= set(ids) | shared, f"{route}: say here whose {names} is"
        if names & set(ids) and not route.is_open:
            response = other.request(route.method, route.address(**ids))
            assert response.status_code == 404, (route, response.text)
            assert response.json()["type"] == "/problems/not-found"
            seen |= names
    assert seen == set(ids)
    # And nothing of it happened.
    assert mine.get(f"/api/v1/jobs/{ids['job_id']}").json()["state"] == "succeeded"
    assert mine.get(f"/api/v1/images/{ids['image_id']}/file").status_code == 200
    assert mine.get(f"/api/v1/uploads/{ids['upload_id']}/file").status_code == 200


def test_lists_and_requests_hold_nothing_of_another(server: Running) -> None:
    mine, other = server.new_client(), server.new_client()
    image = draw(mine)["images"][0]["id"]
    for path in ("/api/v1/jobs", "/api/v1/images", "/api/v1/uploads"):
        assert other.get(path).json() == {"items": [], "next_cursor": None}
        assert other.get(path, params={"cursor": NOBODYS_ID[:-1] + "z"}).json()["items"] == []
    refused = other.post("/api/v1/jobs", json={"prompt": "a fox", "image": image})
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/not-found")
    assert other.post("/api/v1/estimates", json={"prompt": "x", "image": image}).status_code == 404


def test_two_keys_of_one_owner_share(server: Running) -> None:
    one, two = (server.client(server.new_key(owner="shared-owner")) for _ in range(2))
    job = draw(one)
    assert two.get(f"/api/v1/jobs/{job['id']}").status_code == 200
    assert two.get("/api/v1/images").json()["items"][0]["job_id"] == job["id"]


def test_a_foreign_host_or_page_is_refused_by_the_whole_server(
    client: httpx2.Client, admin: httpx2.Client
) -> None:
    assert client.get("/api/v1/jobs", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/api/v1/jobs", headers={"Host": "pictures.example"}).status_code == 200
    foreign = {"Origin": "http://evil.example"}
    assert admin.post("/api/v1/keys", json={"name": "x"}, headers=foreign).status_code == 403
