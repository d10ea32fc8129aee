"""A real server process for tests: started, asked over HTTP, killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

REPOSITORY = Path(__file__).parents[1]
TOKEN = "a-token-for-tests-0123456789abcdef0123456789"  # noqa: S105
READY_SECONDS = 120.0


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def draw_noise_by_default(data_dir: Path) -> None:
    """Let requests that name no model go to scribble-xl, which takes many sizes and draws fast."""
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "models.yaml").write_text("default: scribble-xl\n")


class ServerProcess:
    """`python -m server serve` on a data folder; may be killed and started again."""

    def __init__(
        self,
        data_dir: Path,
        models_dir: Path,
        *,
        prefix: Sequence[str] = (),
        settings: dict[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        draw_noise_by_default(data_dir)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._prefix = tuple(prefix)
        self._env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GREENROOM_")},
            "GREENROOM_DATA_DIR": str(data_dir),
            "GREENROOM_MODELS_DIR": str(models_dir),
            "GREENROOM_PORT": str(self.port),
            "GREENROOM_ADMIN_TOKEN": TOKEN,
            "GREENROOM_DEVICES": "cpu",
            **(settings or {}),
        }
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=60,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()
        self.stop()

    def start(self, *, wait: bool = True) -> None:
        """Start, and wait until it can draw."""
        log = self.data_dir.parent / f"{self.data_dir.name}.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(  # noqa: S603
                [*self._prefix, sys.executable, "-m", "server", "serve"],
                cwd=REPOSITORY,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return once /health/ready answers 200."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if self.process is None or self.process.poll() is not None:
                log = self.data_dir.parent / f"{self.data_dir.name}.log"
                raise RuntimeError(f"the server ended: {log.read_text()[-2000:]}")
            try:
                if self.client.get("/health/ready").status_code == httpx2.codes.OK:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.1)
        raise TimeoutError("the server was not ready in time")

    def kill(self) -> None:
        """End the HTTP process as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it politely; kill whatever of its session is left."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def worker_pid(self) -> int | None:
        """Return the worker's process id, None while it restarts."""
        workers: list[dict[str, Any]] = self.get("/api/v1/workers")["items"]
        pid: int | None = workers[0]["pid"]
        return pid

    def get(self, path: str) -> Any:
        """Return the JSON at `path`."""
        response = self.client.get(path)
        response.raise_for_status()
        return response.json()

    def submit(self, key: str | None = None, **request: Any) -> dict[str, Any]:
        """Submit a job and return it."""
        headers = {} if key is None else {"Idempotency-Key": key}
        response = self.client.post("/api/v1/jobs", json=request, headers=headers)
        response.raise_for_status()
        job: dict[str, Any] = response.json()
        return job

    def wait_for(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        """Return a job once it has ended."""
        end = time.monotonic() + seconds
        job: dict[str, Any] = {}
        while time.monotonic() < end:
            job = self.get(f"/api/v1/jobs/{job_id}")
            if job["state"] in ("succeeded", "failed", "cancelled"):
                return job
            time.sleep(0.05)
        raise TimeoutError(f"job {job_id} is still {job.get('state')}")
