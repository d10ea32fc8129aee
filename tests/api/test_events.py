from __future__ import annotations

import base64
import itertools
import socket

import httpx2
import pytest

from server.domain.ids import ID_LENGTH
from tests.api.conftest import SMALL, Running, draw, slow, until
from tests.api.pictures import opened
from tests.api.sse import listening


def test_a_job_is_followed_from_its_first_state_to_its_last(client: httpx2.Client) -> None:
    job = client.post("/api/v1/jobs", json={"prompt": "a fox", **SMALL, "num_images": 2}).json()
    with listening(client, f"/api/v1/jobs/{job['id']}/events") as events:
        seen = list(events)  # it ends by itself
    states = [event.data["type"] for event in seen if event.type == "state"]
    assert states == ["queued", "running", "picture", "picture", "succeeded"]
    ids = [event.id for event in seen if event.id is not None]
    assert ids == sorted(set(ids))
    assert all(event.id is None for event in seen if event.type != "state")
    pictures = [e.data["image"]["index"] for e in seen if e.data.get("type") == "picture"]
    assert sorted(pictures) == [0, 1]


def test_progress_and_previews_are_streamed(client: httpx2.Client) -> None:
    job = client.post("/api/v1/jobs", json=slow()).json()
    steps = []
    with listening(client, f"/api/v1/jobs/{job['id']}/events") as events:
        for event in events:
            if event.type == "progress":
                steps.append(event.data["step"])
            if event.type == "preview":
                assert event.data["media_type"] == "image/jpeg"
                break
        else:
            pytest.fail("no preview came")
    assert steps == sorted(steps)
    client.delete(f"/api/v1/jobs/{job['id']}")


def test_a_preview_is_a_small_picture(client: httpx2.Client) -> None:
    job = client.post("/api/v1/jobs", json=slow()).json()
    with listening(client, "/api/v1/events") as events:
        preview = next(event for event in events if event.type == "preview")
    client.delete(f"/api/v1/jobs/{job['id']}")
    image = opened(base64.b64decode(preview.data["data"]))
    assert image.format == "JPEG"
    assert max(image.size) <= 256


def test_the_events_of_an_ended_job_are_replayed(client: httpx2.Client) -> None:
    job = draw(client)
    with listening(client, f"/api/v1/jobs/{job['id']}/events") as events:
        states = [event.data["type"] for event in events]
    assert states == ["queued", "running", "picture", "succeeded"]


def test_only_what_came_after_the_last_event_id_is_sent(client: httpx2.Client) -> None:
    job = draw(client)
    path = f"/api/v1/jobs/{job['id']}/events"
    with listening(client, path) as events:
        all_of_them = list(events)
    second = all_of_them[1].id
    for options in (
        {"headers": {"Last-Event-ID": str(second)}},
        {"params": {"after": second}},
        {"headers": {"Last-Event-ID": str(second)}, "params": {"after": 0}},  # the header wins
    ):
        with listening(client, path, **options) as events:
            assert list(events) == all_of_them[2:]
    with listening(client, path, params={"after": all_of_them[-1].id}) as events:
        assert list(events) == []


def test_a_listener_that_comes_back_misses_no_state(client: httpx2.Client) -> None:
    first = draw(client)
    with listening(client, "/api/v1/events", params={"after": 0}) as events:
        seen = list(itertools.islice(events, 4))
    missed = draw(client)  # while nobody listened
    with listening(client, "/api/v1/events", headers={"Last-Event-ID": str(seen[-1].id)}) as events:
        later = list(itertools.islice(events, 4))
    assert [event.data["job_id"] for event in seen] == [first["id"]] * 4
    assert [event.data["job_id"] for event in later] == [missed["id"]] * 4
    assert later[-1].data["type"] == "succeeded"


def test_one_stream_tells_of_all_jobs_of_the_owner_and_no_others(
    server: Running, client: httpx2.Client
) -> None:
    with listening(client, "/api/v1/events") as events:
        draw(server.new_client())
        job = draw(client)
        states = list(itertools.islice((e for e in events if e.id), 4))
    assert {event.data["job_id"] for event in states} == {job["id"]}


@pytest.mark.parametrize("number", ["-1", "x", str(2**63), "1.5"])
def test_a_last_event_id_that_is_none_is_refused(client: httpx2.Client, number: str) -> None:
    refused = client.get("/api/v1/events", headers={"Last-Event-ID": number})
    assert (refused.status_code, refused.json()["parameter"]) == (422, "last-event-id")


def test_following_a_job_that_is_not_there_is_404_before_the_stream(client: httpx2.Client) -> None:
    assert client.get(f"/api/v1/jobs/{'0' * ID_LENGTH}/events").status_code == 404


def test_a_listener_that_never_reads_holds_nobody_up(
    server: Running, client: httpx2.Client
) -> None:
    key = client.headers["Authorization"]
    deaf = [_deaf_listener(server, key) for _ in range(3)]
    try:
        for n in range(3):
            assert draw(client, seed=n)["state"] == "succeeded"
        with listening(client, "/api/v1/events", params={"after": 0}) as events:
            states = [event.data["type"] for event in itertools.islice(events, 12)]
        assert states.count("succeeded") == 3
    finally:
        for connection in deaf:
            connection.close()


def test_a_listener_that_hangs_up_is_forgotten(server: Running, client: httpx2.Client) -> None:
    active = server.app.state.services.active
    until(lambda: active.listeners == 0)
    with listening(client, "/api/v1/events"):
        until(lambda: active.listeners == 1)
    until(lambda: active.listeners == 0)


def _deaf_listener(server: Running, authorization: str) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    connection.sendall(
        f"GET /api/v1/events?after=0 HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: {authorization}\r\n\r\n".encode()
    )
    return connection
