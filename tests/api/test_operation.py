from __future__ import annotations

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client.parser import text_string_to_metric_families

from server.api.routes import install
from tests.api.conftest import ADMIN_TOKEN, Running, draw


def measured(client: httpx2.Client) -> dict[str, dict[tuple[str, ...], float]]:
    text = client.get("/metrics").text
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_health_is_open_and_true(nobody: httpx2.Client) -> None:
    assert nobody.get("/health/live").json() == {"status": "live"}
    ready = nobody.get("/health/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "missing": [], "notes": []},
    )


def test_measurements_are_of_all_owners_and_so_for_administrators(
    nobody: httpx2.Client, client: httpx2.Client, admin: httpx2.Client
) -> None:
    assert nobody.get("/metrics").status_code == 401
    assert client.get("/metrics").status_code == 403
    assert admin.get("/metrics").headers["Content-Type"].startswith("text/plain; version=")


def test_pictures_jobs_workers_and_requests_are_measured(
    client: httpx2.Client, admin: httpx2.Client
) -> None:
    before = measured(admin)
    job = draw(client, num_images=2)
    client.get(f"/api/v1/jobs/{job['id']}")
    after = measured(admin)
    key = (job["resolved"]["model"], job["images"][0]["served_by"])

    def grown(name: str, labels: tuple[str, ...]) -> float:
        return after[name][labels] - before.get(name, {}).get(labels, 0)

    assert grown("greenroom_picture_duration_seconds_count", key) == 2
    assert grown("greenroom_picture_duration_seconds_sum", key) > 0
    assert grown("greenroom_jobs_ended_total", ("succeeded",)) == 1
    assert set(after["greenroom_jobs"]) == {("queued",), ("running",)}
    assert list(after["greenroom_worker_up"].values()) == [1]
    # By template: an id in a label would make as many series as there are jobs.
    looked = ("GET", "/api/v1/jobs/{job_id}", "200")
    assert grown("greenroom_http_request_duration_seconds_count", looked) == 1


def test_unknown_addresses_and_methods_share_a_label(
    client: httpx2.Client, admin: httpx2.Client
) -> None:
    client.get("/no/such/address")
    client.request("BREW", "/api/v1/jobs")
    labels = measured(admin)["greenroom_http_request_duration_seconds_count"]
    assert ("GET", "none", "404") in labels
    assert not any("no/such" in label[1] or label[0] == "BREW" for label in labels)


def test_the_signin_link_sets_a_cookie_and_leads_to_a_clean_address(server: Running) -> None:
    with httpx2.Client(base_url=server.url) as browser:
        response = browser.get("/", params={"token": ADMIN_TOKEN})
        assert (response.status_code, response.headers["Location"]) == (303, "/")
        cookie = response.headers["Set-Cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert ADMIN_TOKEN not in cookie
        assert browser.get("/api/v1/workers").status_code == 200
        foreign = browser.get("/api/v1/jobs", headers={"Origin": "http://127.0.0.1:3000"})
        assert foreign.status_code == 403
        assert browser.post("/signout").status_code == 303
        assert browser.get("/api/v1/workers").status_code == 401


def test_the_signin_form_does_the_same(server: Running) -> None:
    with httpx2.Client(base_url=server.url) as browser:
        response = browser.post("/signin", data={"token": ADMIN_TOKEN})
        assert (response.status_code, response.headers["Location"]) == (303, "/")
        assert browser.get("/api/v1/jobs").status_code == 200


@pytest.mark.parametrize("token", ["wrong", "", "é"])
def test_a_wrong_token_signs_nobody_in(nobody: httpx2.Client, token: str) -> None:
    for response in (
        nobody.get("/", params={"token": token}),
        nobody.post("/signin", data={"token": token}),
    ):
        assert (response.status_code, response.headers["Location"]) == (303, "/signin#refused")
        assert "Set-Cookie" not in response.headers


def test_an_ordinary_key_signs_nobody_in(server: Running, nobody: httpx2.Client) -> None:
    response = nobody.post("/signin", data={"token": server.new_key()})
    assert response.headers["Location"] == "/signin#refused"


@pytest.mark.parametrize("cookie", ["greenroom_session=", "greenroom_session=x", "a=b"])
def test_a_wrong_cookie_is_no_session(nobody: httpx2.Client, cookie: str) -> None:
    assert nobody.get("/api/v1/jobs", headers={"Cookie": cookie}).status_code == 401


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/crash", "application/problem+json", {"type": "about:blank", "status": 500}),
        ("/v1/crash", "application/json", {"error": {"type": "server_error"}}),
    ],
)
async def test_a_mistake_of_ours_is_a_500_without_details(
    path: str, kind: str, body: dict[str, object]
) -> None:
    app = FastAPI(openapi_url=None)
    router = APIRouter()

    @router.get(path)
    async def crash() -> None:
        raise RuntimeError("/home/someone/secret")

    app.include_router(router)
    install(app, allowed_hosts=())
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.get(path)
    assert (response.status_code, response.headers["Content-Type"]) == (500, kind)
    assert "X-Request-ID" in response.headers
    assert "secret" not in response.text
    said = response.json()
    for name, value in body.items():
        if isinstance(value, dict):
            assert value.items() <= said[name].items()
        else:
            assert said[name] == value
