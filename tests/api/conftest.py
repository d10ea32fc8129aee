"""One server for all tests of this room: the real app, a real worker, small random weights."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from server.app import create_app
from server.settings import Settings
from tests.editors import add_editors
from tests.serving import draw_noise_by_default

ADMIN_TOKEN = "an-admin-token-for-tests-0123456789abcdef"  # noqa: S105
MAX_JOBS_PER_OWNER = 12
READY_SECONDS = 120.0
SMALL = {"width": 64, "height": 64, "num_inference_steps": 2}


@dataclass
class Running:
    """A server that listens on loopback, in a thread with its own event loop."""

    app: FastAPI
    url: str
    models_dir: Path
    stack: ExitStack = field(default_factory=ExitStack)

    def client(self, key: str | None, **options: Any) -> httpx2.Client:
        """Return a client that sends `key`; closed with the server."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        client = httpx2.Client(base_url=self.url, headers=headers, timeout=60, **options)
        return self.stack.enter_context(client)

    def new_key(self, **request: Any) -> str:
        """Make a key of its own owner and return its secret."""
        made = self.client(ADMIN_TOKEN).post("/api/v1/keys", json={"name": "test", **request})
        assert made.status_code == 201, made.text
        secret: str = made.json()["secret"]
        return secret

    def new_client(self) -> httpx2.Client:
        """Return a client of a new owner."""
        return self.client(self.new_key())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, scribble_models: Path) -> Iterator[Running]:
    """A server that is ready to draw."""
    # A copy: these tests bring and remove models.
    models_dir = tmp_path_factory.mktemp("api-models")
    shutil.copytree(scribble_models, models_dir, dirs_exist_ok=True)
    data_dir = tmp_path_factory.mktemp("api")
    draw_noise_by_default(data_dir)
    add_editors(models_dir, data_dir)
    settings = Settings(
        data_dir=data_dir,
        models_dir=models_dir,
        devices=("cpu",),
        admin_token=ADMIN_TOKEN,
        allowed_hosts=("pictures.example",),
        max_queued_jobs_per_owner=MAX_JOBS_PER_OWNER,
        max_upload_mib=2,
        max_adapter_mib=1,
        max_upload_megapixels=4,
        gpu_price_per_hour=Decimal("3.60"),  # 1000 micro-units a second
        credit_price=Decimal("0.001"),
        compare_price_per_image=Decimal("0.04"),
    )
    app = create_app(settings)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
        uvicorn_server = uvicorn.Server(config)
        thread = threading.Thread(target=uvicorn_server.run, args=([listening],))
        thread.start()
        running = Running(app, f"http://127.0.0.1:{listening.getsockname()[1]}", models_dir)
        try:
            _wait_ready(running)
            yield running
        finally:
            running.stack.close()
            uvicorn_server.should_exit = True
            thread.join()


def _wait_ready(running: Running) -> None:
    end = time.monotonic() + READY_SECONDS
    with httpx2.Client(base_url=running.url) as client:
        while time.monotonic() < end:
            try:
                if client.get("/health/ready").status_code == httpx2.codes.OK:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        raise TimeoutError(client.get("/health/ready").text)


@pytest.fixture(scope="session")
def app(server: Running) -> FastAPI:
    """The running application."""
    return server.app


@pytest.fixture(scope="session")
def admin(server: Running) -> httpx2.Client:
    """The admin's client."""
    return server.client(ADMIN_TOKEN)


@pytest.fixture(scope="session")
def nobody(server: Running) -> httpx2.Client:
    """A client without a key."""
    return server.client(None)


@pytest.fixture
def client(server: Running) -> httpx2.Client:
    """A client of an owner that has nothing yet."""
    return server.new_client()


def draw(client: httpx2.Client, **request: Any) -> dict[str, Any]:
    """Draw with `client` and return the ended job."""
    body = {"prompt": "a fox", **SMALL, **request}
    response = client.post("/api/v1/jobs", json=body, headers={"Prefer": "wait=60"})
    assert response.status_code == 200, response.text
    job: dict[str, Any] = response.json()
    return job


def slow(**request: Any) -> dict[str, Any]:
    """Return a request that takes several seconds."""
    return {"prompt": "a long story", "width": 256, "height": 256, "num_inference_steps": 150} | (
        request
    )


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that is soon true."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
