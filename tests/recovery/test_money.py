"""Storybook drawn for money: what is reserved survives a kill, and nothing is paid twice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.serving import ServerProcess

pytestmark = pytest.mark.slow

PRICES = {"GREENROOM_GPU_PRICE_PER_HOUR": "3.60"}  # 1000 micro-units a second
MICROS_PER_SECOND = 1000
ASKED: dict[str, Any] = {
    "model": "storybook-xl",
    "prompt": "a fox in the snow",
    "seed": 5,
    "num_inference_steps": 6,
}


def client_of(server: ServerProcess, secret: str) -> httpx2.Client:
    return httpx2.Client(
        base_url=server.client.base_url, headers={"Authorization": f"Bearer {secret}"}, timeout=120
    )


def wait_for(client: httpx2.Client, job_id: str, *, images: int = 0) -> dict[str, Any]:
    """Return a job once it has so many pictures; 0: once it has ended."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        job: dict[str, Any] = client.get(f"/api/v1/jobs/{job_id}").json()
        if job["finished_at"] or (images and len(job["images"]) >= images):
            return job
        time.sleep(0.02)
    raise TimeoutError(job_id)


def budget_of(client: httpx2.Client) -> tuple[int, int, int]:
    (state,) = client.get("/api/v1/usage").json()["budgets"]
    return state["reserved"]["micros"], state["spent"]["micros"], state["left"]["micros"]


def test_a_kill_between_reserving_and_paying_loses_nothing(
    tmp_path: Path, scribble_models: Path
) -> None:
    limit = 10_000_000
    with ServerProcess(tmp_path / "data", scribble_models, settings=PRICES) as server:
        key = {"name": "team", "budget": {"micros": limit, "currency": "USD"}}
        secret = server.client.post("/api/v1/keys", json=key).json()["secret"]
        with client_of(server, secret) as client:
            # Before the first picture nobody knows what it takes: all of the budget is held.
            before = client.post("/api/v1/estimates", json=ASKED).json()
            assert (before["cost"], "not measured" in before["cost_basis"]) == (None, True)
            first = client.post("/api/v1/jobs", json=ASKED).json()
            assert budget_of(client) == (limit, 0, 0)
            assert client.post("/api/v1/jobs", json=ASKED).status_code == 402
            first_cost = wait_for(client, first["id"])["cost"]["micros"]
            assert budget_of(client) == (0, first_cost, limit - first_cost)

            estimate = client.post("/api/v1/estimates", json={**ASKED, "num_images": 4}).json()
            job = client.post("/api/v1/jobs", json={**ASKED, "num_images": 4}).json()
            held, spent, _ = budget_of(client)
            assert 0.5 < held / estimate["cost"]["micros"] < 2
            assert spent == first_cost
            wait_for(client, job["id"], images=1)
            server.kill()
            server.start()
            ended = wait_for(client, job["id"])
            costs = [image["cost"]["micros"] for image in ended["images"]]
            assert (ended["state"], len(costs), ended["attempt"]) == ("succeeded", 4, 2)
            assert ended["cost"]["micros"] == sum(costs)
            assert budget_of(client) == (
                0,
                first_cost + sum(costs),
                limit - first_cost - sum(costs),
            )
            (line,) = client.get("/api/v1/usage").json()["items"]
    assert (line["pictures"], line["cost"]["micros"]) == (5, first_cost + sum(costs))
    exact = line["device_seconds"] * MICROS_PER_SECOND
    assert exact <= line["cost"]["micros"] + 1e-6
    assert line["cost"]["micros"] <= exact + 5 + 1e-6  # each picture's is rounded up
