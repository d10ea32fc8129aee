"""A server and its peer, for real: whoever is killed, every picture comes, and comes once."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

from tests.serving import TOKEN, ServerProcess

pytestmark = pytest.mark.slow
SLOW: dict[str, Any] = {"width": 128, "height": 128, "num_inference_steps": 60}
DEATHS = 3  # of workers over one job, until it moves on


class SilentService:
    """A service that takes every call to draw, says nothing, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (self._listening, *self._open):
            each.close()

    def _serve(self) -> None:
        with suppress(OSError):  # it was shut down
            while True:
                connection, _ = self._listening.accept()
                self._open.append(connection)
                if b"POST /v1/images/generations" in connection.recv(65536):
                    self.calls += 1


@pytest.fixture
def peer(tmp_path: Path, scribble_models: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "peer", scribble_models) as peer:
        yield peer


@pytest.fixture
def server(tmp_path: Path, scribble_models: Path, peer: ServerProcess) -> Iterator[ServerProcess]:
    """A server whose model is drawn by the peer where it cannot draw it itself."""
    with ServerProcess(tmp_path / "data", scribble_models) as server:
        connection = {
            "name": "peer",
            "provider": "greenroom",
            "model": "scribble-xl",
            "base_url": f"http://127.0.0.1:{peer.port}",
            "key": TOKEN,
        }
        made = server.client.post("/api/v1/connections", json=connection)
        assert made.status_code == 201, made.text
        chain = server.client.put("/api/v1/chains/scribble-xl", json={"members": ["peer"]})
        assert chain.status_code == 200, chain.text
        yield server


def kill_worker(server: ServerProcess) -> None:
    pid = None
    while pid is None:
        pid = server.worker_pid()
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def peers_pictures(peer: ServerProcess) -> list[int]:
    """Return the seed of everything that the peer ever drew."""
    return sorted(i["seed"] for i in peer.get("/api/v1/images?limit=200")["items"])


def expect_all_once(jobs: list[dict[str, Any]], seeds: list[int], peer: ServerProcess) -> None:
    assert {job["state"] for job in jobs} == {"succeeded"}
    images = [image for job in jobs for image in job["images"]]
    assert [image["seed"] for image in images] == seeds
    theirs = sorted(image["seed"] for image in images if image["served_by"] == "peer")
    assert peers_pictures(peer) == theirs  # it drew nothing twice, and nothing in vain


def test_a_batch_whose_workers_are_killed_goes_to_the_peer_and_nothing_comes_twice(
    server: ServerProcess, peer: ServerProcess
) -> None:
    jobs = [
        server.submit(prompt=f"scene {n}", seed=100 * n, num_images=3, **SLOW) for n in range(3)
    ]
    first = jobs[0]["id"]
    for _ in range(DEATHS):
        while (job := server.get(f"/api/v1/jobs/{first}"))["state"] != "running" or not job["step"]:
            if job["tried"]:
                break
            time.sleep(0.01)
        kill_worker(server)
        while server.get(f"/api/v1/jobs/{first}")["state"] == "running":
            if server.get(f"/api/v1/jobs/{first}")["tried"]:
                break
            time.sleep(0.01)
    ended = [server.wait_for(job["id"], 240) for job in jobs]
    expect_all_once(ended, [100 * n + i for n in range(3) for i in range(3)], peer)
    tried = [(t["member"], t["outcome"], t["code"]) for t in ended[0]["tried"]]
    assert tried[0] == ("scribble-xl", "failed", "worker-died")
    assert ("peer", "drew", None) in tried


@pytest.mark.parametrize("end", [ServerProcess.kill, ServerProcess.stop])
def test_a_server_that_ends_in_the_middle_of_a_call_takes_up_the_same_call(
    server: ServerProcess, peer: ServerProcess, end: Callable[[ServerProcess], None]
) -> None:
    job = server.submit(prompt="far away", model="peer", seed=5, num_images=3, **SLOW)
    while not peer.get("/api/v1/images")["items"]:  # the first picture is drawn
        time.sleep(0.01)
    end(server)
    server.start()
    ended = server.wait_for(job["id"], 240)
    expect_all_once([ended], [5, 6, 7], peer)
    assert [(t["member"], t["outcome"]) for t in ended["tried"]] == [("peer", "drew")]
    assert len(peer.get("/api/v1/jobs")["items"]) == 1


def test_a_peer_killed_in_the_middle_of_a_call_draws_on_when_it_is_back(
    server: ServerProcess, peer: ServerProcess
) -> None:
    job = server.submit(prompt="far away", model="peer", seed=5, num_images=3, **SLOW)
    while not peer.get("/api/v1/images")["items"]:
        time.sleep(0.01)
    peer.kill()
    peer.start()
    expect_all_once([server.wait_for(job["id"], 240)], [5, 6, 7], peer)


def test_cancelling_here_cancels_there(server: ServerProcess, peer: ServerProcess) -> None:
    job = server.submit(prompt="far away", model="peer", seed=5, num_images=4, **SLOW)
    while not peer.get("/api/v1/jobs")["items"]:
        time.sleep(0.01)
    assert server.client.delete(f"/api/v1/jobs/{job['id']}").status_code == httpx2.codes.OK
    theirs = peer.get("/api/v1/jobs")["items"][0]
    assert peer.wait_for(theirs["id"])["state"] == "cancelled"
    assert server.wait_for(job["id"])["state"] == "cancelled"


def test_a_call_that_costs_is_not_made_again_by_a_server_that_was_killed_in_it(
    tmp_path: Path, scribble_models: Path
) -> None:
    with (
        SilentService() as service,
        ServerProcess(tmp_path / "data", scribble_models) as server,
    ):
        connection = {"name": "paid", "provider": "openai", "model": "painter-9"}
        body = {**connection, "base_url": service.url, "key": "sk-for-tests"}
        assert server.client.post("/api/v1/connections", json=body).status_code == 201
        chain = {"members": ["scribble-xl"]}
        assert server.client.put("/api/v1/chains/paid", json=chain).status_code == 200
        alone = server.submit(prompt="a fox", model="paid", fallback="never")
        moving = server.submit(prompt="a hen", model="paid")
        while service.calls < 2:
            time.sleep(0.01)
        server.kill()
        server.start()
        failed = server.wait_for(alone["id"])
        assert failed["state"] == "failed"
        assert "may have been billed" in failed["error"]["detail"]
        drawn = server.wait_for(moving["id"])
        assert [image["served_by"] for image in drawn["images"]] == ["local-cpu"]
        for job in (failed, drawn):
            first = job["tried"][0]
            assert (first["member"], first["outcome"]) == ("paid", "failed")
            assert first["may_have_billed"]
        assert service.calls == 2
