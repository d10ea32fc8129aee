from __future__ import annotations

import time
import uuid
from typing import Any

import httpx2
import pytest

from server.api.jobs import MAX_WAIT_SECONDS, wait_seconds
from server.domain.ids import ID_LENGTH
from tests.api.conftest import MAX_JOBS_PER_OWNER, SMALL, draw, slow


def cancel_all(client: httpx2.Client) -> None:
    for job in client.get("/api/v1/jobs?state=queued,running&limit=200").json()["items"]:
        client.delete(f"/api/v1/jobs/{job['id']}")


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=60", 60),
        ("respond-async, wait=10", 10),
        ("respond-async; wait = 5", 5),
        ('WAIT="7"', 7),
        ("wait=999999", MAX_WAIT_SECONDS),
        ("wait=soon", 0),
        ("await=5", 0),
        ("wait=-1", 0),
    ],
)
def test_the_wait_preference_is_read(prefer: str | None, seconds: int) -> None:
    assert wait_seconds(prefer) == seconds


def test_a_prompt_alone_is_drawn(client: httpx2.Client) -> None:
    asked = client.post("/api/v1/jobs", json={"prompt": "a fox", **SMALL})
    assert asked.status_code == 202
    job = asked.json()
    assert asked.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert job["state"] in ("queued", "running")
    assert job["request"]["seed"] is None
    assert isinstance(job["resolved"]["seed"], int)

    ended = _ended(client, job["id"])
    assert (ended["state"], ended["step"], ended["total_steps"]) == ("succeeded", 2, 2)
    image = ended["images"][0]
    assert (image["width"], image["height"], image["seed"]) == (64, 64, job["resolved"]["seed"])
    assert image["recipe"]["prompt"] == "a fox"


def test_prefer_wait_answers_200_with_the_pictures(client: httpx2.Client) -> None:
    response = client.post(
        "/api/v1/jobs",
        json={"prompt": "two foxes", "num_images": 2, "seed": 5, **SMALL},
        headers={"Prefer": "wait=60"},
    )
    assert (response.status_code, response.headers["Preference-Applied"]) == (200, "wait=60")
    assert [image["seed"] for image in response.json()["images"]] == [5, 6]


def test_prefer_wait_answers_202_when_the_time_is_up(client: httpx2.Client) -> None:
    started = time.monotonic()
    response = client.post("/api/v1/jobs", json=slow(), headers={"Prefer": "wait=1"})
    assert response.status_code == 202
    assert 0.9 < time.monotonic() - started < 10
    cancel_all(client)


def test_the_same_idempotency_key_is_the_same_job(client: httpx2.Client) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"prompt": "once", **SMALL}
    first, second = (client.post("/api/v1/jobs", json=body, headers=key) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    other = client.post("/api/v1/jobs", json={**body, "prompt": "twice"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (409, "/problems/conflict")
    assert len(client.get("/api/v1/jobs").json()["items"]) == 1


def test_idempotency_keys_of_two_owners_never_meet(
    client: httpx2.Client, admin: httpx2.Client
) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"prompt": "once", **SMALL}
    mine = client.post("/api/v1/jobs", json=body, headers=key).json()
    assert admin.post("/api/v1/jobs", json=body, headers=key).json()["id"] != mine["id"]


def test_jobs_are_listed_newest_first_in_pieces(client: httpx2.Client) -> None:
    ids = [draw(client, seed=n)["id"] for n in range(5)]
    first = client.get("/api/v1/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in first["items"]] == ids[:-3:-1]
    second = client.get("/api/v1/jobs", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in second["items"]] == ids[2::-1]
    assert second["next_cursor"] is None


def test_jobs_are_listed_by_state(client: httpx2.Client) -> None:
    done = draw(client)["id"]
    waiting = client.post("/api/v1/jobs", json=slow()).json()["id"]
    listed = client.get("/api/v1/jobs", params={"state": "queued,running"}).json()["items"]
    assert [job["id"] for job in listed] == [waiting]
    cancel_all(client)
    listed = client.get("/api/v1/jobs", params={"state": "succeeded,cancelled"}).json()["items"]
    assert [job["id"] for job in listed] == [waiting, done]
    assert client.get("/api/v1/jobs", params={"state": "done"}).status_code == 422


def test_a_running_job_is_cancelled_within_a_step_and_cancelling_again_changes_nothing(
    client: httpx2.Client,
) -> None:
    job = client.post("/api/v1/jobs", json=slow()).json()
    cancelled = client.delete(f"/api/v1/jobs/{job['id']}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert client.delete(f"/api/v1/jobs/{job['id']}").json() == cancelled.json()
    done = draw(client)
    assert client.delete(f"/api/v1/jobs/{done['id']}").json()["state"] == "succeeded"


def test_a_full_queue_is_429_with_the_time_to_come_again(client: httpx2.Client) -> None:
    try:
        for n in range(MAX_JOBS_PER_OWNER):
            assert client.post("/api/v1/jobs", json=slow(seed=n)).status_code == 202
        refused = client.post("/api/v1/jobs", json=slow())
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/queue-full")
        assert int(refused.headers["Retry-After"]) >= 1
        # A key makes resending safe; it opens no way around the bound.
        keyed = client.post("/api/v1/jobs", json=slow(), headers={"Idempotency-Key": "new"})
        assert keyed.status_code == 429
    finally:
        cancel_all(client)


def test_an_idempotent_resend_is_answered_even_when_the_queue_is_full(
    client: httpx2.Client,
) -> None:
    key = {"Idempotency-Key": "the-first"}
    try:
        first = client.post("/api/v1/jobs", json=slow(), headers=key).json()
        for n in range(MAX_JOBS_PER_OWNER - 1):
            client.post("/api/v1/jobs", json=slow(seed=n))
        again = client.post("/api/v1/jobs", json=slow(), headers=key)
        assert (again.status_code, again.json()["id"]) == (202, first["id"])
    finally:
        cancel_all(client)


@pytest.mark.parametrize(
    ("body", "status", "kind", "parameter"),
    [
        ({}, 422, "invalid-request", "prompt"),
        ({"prompt": ""}, 422, "invalid-request", "prompt"),
        ({"prompt": "x", "colour": "red"}, 422, "invalid-request", "colour"),
        ({"prompt": "x", "num_images": 5}, 422, "invalid-request", "num_images"),
        ({"prompt": "x", "seed": -1}, 422, "invalid-request", "seed"),
        ({"prompt": "x", "width": 60}, 422, "invalid-request", "width"),
        ({"prompt": "x", "width": 64}, 422, "request-refused", "height"),
        ({"prompt": "x", "guidance_scale": "NaN"}, 422, "invalid-request", "guidance_scale"),
        ({"prompt": "a\x00b"}, 422, "invalid-request", "prompt"),
        ({"prompt": "x", "negative_prompt": "\x00"}, 422, "invalid-request", "negative_prompt"),
        ({"prompt": "x", "style": "nope"}, 422, "request-refused", "style"),
        ({"prompt": "x", "model": "nope"}, 404, "model-not-found", None),
        ({"prompt": "x", "image": "0" * ID_LENGTH}, 404, "not-found", None),
        ({"prompt": "x", "strength": 0.5}, 422, "request-refused", "strength"),
    ],
)
def test_what_is_wrong_is_named(
    client: httpx2.Client, body: dict[str, Any], status: int, kind: str, parameter: str | None
) -> None:
    for path in ("/api/v1/jobs", "/api/v1/estimates"):
        problem = client.post(path, json=body)
        assert (problem.status_code, problem.headers["Content-Type"]) == (
            status,
            "application/problem+json",
        )
        said = problem.json()
        assert (said["type"], said["status"]) == (f"/problems/{kind}", status)
        if parameter is not None:
            assert said["parameter"] == parameter


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b'{"prompt": "x"}', "text/plain"),  # what a foreign page's form may send
        (b"prompt=x", "application/x-www-form-urlencoded"),
        (b'"\xff"', "application/json"),
        (b'{"prompt": "\\ud800"}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "application/json"),
        (b"null", "application/json"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    client: httpx2.Client, content: bytes, kind: str
) -> None:
    response = client.post("/api/v1/jobs", content=content, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["type"]) == (422, "/problems/invalid-request")


def test_a_body_that_is_too_large_is_refused(client: httpx2.Client) -> None:
    response = client.post("/api/v1/jobs", json={"prompt": "x" * 2**20})
    assert (response.status_code, response.json()["type"]) == (413, "/problems/too-large")


@pytest.mark.parametrize("job_id", ["0" * ID_LENGTH, "nope", "0" * 25, "%00"])
def test_an_id_that_is_none_is_refused(client: httpx2.Client, job_id: str) -> None:
    assert client.get(f"/api/v1/jobs/{job_id}").status_code in (404, 422)


def test_an_unknown_address_and_a_wrong_method_are_problems(client: httpx2.Client) -> None:
    missing = client.get("/api/v1/nothing")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")
    wrong = client.put("/api/v1/jobs", json={})
    assert (wrong.status_code, wrong.json()["title"]) == (405, "Method Not Allowed")
    assert set(wrong.headers["Allow"].split(", ")) == {"GET", "POST"}


def test_an_estimate_draws_nothing_and_knows_seconds_once_something_was_drawn(
    client: httpx2.Client,
) -> None:
    draw(client)
    estimate = client.post("/api/v1/estimates", json={"prompt": "a fox", **SMALL}).json()
    assert estimate["seconds"] > 0
    assert estimate["place"] >= 1
    assert estimate["served_by"] == "local"
    assert len(client.get("/api/v1/jobs").json()["items"]) == 1


def test_a_deadline_that_passes_fails_the_job(client: httpx2.Client) -> None:
    job = client.post(
        "/api/v1/jobs", json=slow(deadline_seconds=0.2), headers={"Prefer": "wait=30"}
    ).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "deadline-missed")


def test_every_answer_has_a_request_id(client: httpx2.Client, nobody: httpx2.Client) -> None:
    ids = {
        client.get("/api/v1/jobs").headers["X-Request-ID"],
        client.get("/nothing").headers["X-Request-ID"],
        nobody.get("/api/v1/jobs").headers["X-Request-ID"],
    }
    assert len(ids) == 3


def _ended(client: httpx2.Client, job_id: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        job: dict[str, Any] = client.get(f"/api/v1/jobs/{job_id}").json()
        if job["state"] in ("succeeded", "failed", "cancelled"):
            return job
        time.sleep(0.05)
    raise TimeoutError(job_id)
