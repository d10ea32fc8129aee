"""Nothing is lost, doubled or left over, whoever is killed and whenever."""

import io
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image
from sqlalchemy import create_engine, text

from tests.requirements import require
from tests.serving import ServerProcess
from tests.store import cluster

pytestmark = pytest.mark.slow
JOBS = 50


def files_under(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def insistently_submit(server: ServerProcess, number: int) -> dict[str, Any]:
    """As a careful client does it: the same idempotency key until an answer comes."""
    while True:
        try:
            return server.submit(
                key=f"job-{number}",
                prompt=f"scene {number}",
                num_images=1 + number % 3,
                seed=1000 * number,
                num_inference_steps=2 + number % 5,
            )
        except httpx2.HTTPError:
            if server.process is None or server.process.poll() is not None:
                server.start()
            time.sleep(0.05)


def strike(server: ServerProcess, victim: str) -> None:
    try:
        worker = server.worker_pid()
    except httpx2.HTTPError:
        worker = None
    if victim in ("http", "both"):
        server.kill()
    if victim in ("worker", "both") and worker is not None:
        with suppress(ProcessLookupError):  # it may have ended with its parent
            os.kill(worker, signal.SIGKILL)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'greenroom.db'}"
        return
    require("PostgreSQL (initdb, or GREENROOM_TEST_POSTGRES_URL)", present=cluster.is_available())
    with cluster.running() as server, cluster.fresh_database(server) as url:
        yield url


def stored_pictures(database: str) -> list[tuple[str, int, str]]:
    """Job, index and hash of every row."""
    query = text('SELECT job_id, "index", sha256 FROM images')
    engine = create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        rows = [(row[0], row[1], row[2]) for row in connection.execute(query)]
    engine.dispose()
    return rows


@pytest.mark.parametrize("victim", ["http", "worker", "both"])
def test_fifty_jobs_survive_kills_at_random_moments(
    victim: str, database: str, tmp_path: Path, scribble_models: Path
) -> None:
    chance = random.Random(f"{victim} 1")  # noqa: S311
    settings = {"GREENROOM_DATABASE_URL": database}
    with ServerProcess(tmp_path / "data", scribble_models, settings=settings) as server:
        strikes = sorted(chance.sample(range(5, JOBS), 4))
        ids = []
        for number in range(JOBS):
            ids.append(insistently_submit(server, number)["id"])
            if number in strikes:
                time.sleep(chance.uniform(0, 1.5))
                strike(server, victim)
        if server.process is None or server.process.poll() is not None:
            server.start()
        jobs = [server.wait_for(job_id, seconds=240) for job_id in ids]
        assert {job["state"] for job in jobs} == {"succeeded"}
        for number, job in enumerate(jobs):
            seeds = [image["seed"] for image in job["images"]]
            assert seeds == [1000 * number + i for i in range(1 + number % 3)]
    assert len(set(ids)) == JOBS
    rows = stored_pictures(database)
    expected = sum(1 + number % 3 for number in range(JOBS))
    assert len(rows) == expected == len({(job, index) for job, index, _ in rows})
    files = files_under(tmp_path / "data" / "blobs") - {"greenroom-database"}  # whose files
    assert files == {f"{sha256}.png" for _, _, sha256 in rows}  # so no temporary one is left


def test_the_same_seed_draws_the_same_picture_after_a_kill(
    tmp_path: Path, scribble_models: Path
) -> None:
    request: dict[str, Any] = {"prompt": "a fox", "seed": 5, "num_inference_steps": 40}
    with ServerProcess(tmp_path / "data", scribble_models) as server:
        undisturbed = server.wait_for(server.submit(**request)["id"])
        job = server.submit(**request)
        while server.get(f"/api/v1/jobs/{job['id']}")["step"] < 5:
            time.sleep(0.01)
        strike(server, "worker")
        disturbed = server.wait_for(job["id"])
        assert disturbed["attempt"] == 2
        files = [
            server.client.get(one["images"][0]["url"]).content for one in (undisturbed, disturbed)
        ]
    assert pixels(files[0]) == pixels(files[1])


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as opened:
        return opened.convert("RGB").tobytes()


def test_a_worker_is_back_after_its_death_and_its_parent_notices_within_a_second(
    tmp_path: Path, scribble_models: Path
) -> None:
    with ServerProcess(tmp_path / "data", scribble_models) as server:
        before = server.worker_pid()
        strike(server, "worker")
        time.sleep(1)
        worker = server.get("/api/v1/workers")["items"][0]
        assert worker["pid"] != before
        assert worker["last_error"]
        server.wait_ready()


def test_a_job_that_kills_every_worker_fails_at_last_and_the_queue_goes_on(
    tmp_path: Path, scribble_models: Path
) -> None:
    with ServerProcess(tmp_path / "data", scribble_models) as server:
        bad = server.submit(prompt="poison", num_inference_steps=150, width=128, height=128)
        good = server.submit(prompt="a fox", num_inference_steps=2)
        deaths = 0
        while deaths < 3:
            job = server.get(f"/api/v1/jobs/{bad['id']}")
            if job["state"] == "running" and job["step"] > 0:
                strike(server, "worker")
                deaths += 1
                while server.get(f"/api/v1/jobs/{bad['id']}")["state"] == "running":
                    time.sleep(0.02)
            time.sleep(0.02)
        assert server.wait_for(bad["id"])["error"]["code"] == "worker-died"
        assert server.wait_for(good["id"])["state"] == "succeeded"
