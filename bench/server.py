"""A real `greenroom serve` in a folder of its own."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

_START_SECONDS = 60.0
_READY_SECONDS = 300.0
_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Running:
    """A server process; `started` is time.perf_counter() just before it was made."""

    pid: int
    started: float
    listening_seconds: float
    client: httpx2.Client

    def rss_mb(self) -> float:
        """Return the resident memory of the HTTP process, in units of a million bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024 / 1e6

    def cpu_seconds(self) -> float:
        """Return the processor time that the HTTP process has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        user, system = int(fields[11]), int(fields[12])
        return (user + system) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(data_dir: Path) -> Iterator[Running]:
    """Start a server on a free port, and stop it at the end."""
    token = secrets.token_urlsafe(32)
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GREENROOM_")} | {
        "GREENROOM_DATA_DIR": str(data_dir),
        "GREENROOM_PORT": str(port),
        "GREENROOM_ADMIN_TOKEN": token,
        "GREENROOM_MAX_QUEUED_JOBS_PER_OWNER": "1000",
    }
    log = (data_dir / "bench.log").open("a")
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "serve"], env=environment, stdout=log, stderr=log
    )
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with httpx2.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120
        ) as client:
            seconds = _wait_until_live(process, client, started, data_dir)
            yield Running(process.pid, started, seconds, client)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        log.close()


def wait_until_ready(server: Running) -> None:
    """Wait until it can draw.

    Raises:
        TimeoutError: it could not for minutes.
    """
    while server.client.get("/health/ready").status_code != httpx2.codes.OK:
        if time.perf_counter() - server.started > _READY_SECONDS:
            raise TimeoutError(server.client.get("/health/ready").text)
        time.sleep(0.02)


def _wait_until_live(
    process: subprocess.Popen[bytes], client: httpx2.Client, started: float, data_dir: Path
) -> float:
    while time.perf_counter() - started < _START_SECONDS:
        if process.poll() is not None:
            break
        try:
            client.get("/health/live").raise_for_status()
        except httpx2.TransportError:
            time.sleep(_POLL_SECONDS)
            continue
        return time.perf_counter() - started
    raise RuntimeError((data_dir / "bench.log").read_text())


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
