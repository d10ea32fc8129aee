"""A disk that fills up or a database that is locked makes work wait; it loses none."""

import os
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.requirements import require
from tests.serving import ServerProcess

pytestmark = pytest.mark.slow


def can_mount() -> bool:
    """Whether a mount namespace of our own is allowed here."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    probe = subprocess.run(  # noqa: S603
        [unshare, "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False, capture_output=True
    )
    return probe.returncode == 0


def small_disk(data: Path, kib: int) -> list[str]:
    """A command prefix that puts `data` on a disk of its own for the command alone."""
    script = f'mount -t tmpfs -o size={kib}k tmpfs "{data}" && exec "$@"'
    return ["unshare", "-rm", "sh", "-c", script, "sh"]


def fill(path: Path) -> None:
    """Write until the disk has no byte left."""
    with path.open("wb", buffering=0) as out:
        while True:
            out.write(os.urandom(4096))


def test_a_full_disk_makes_pictures_wait_until_there_is_room(
    tmp_path: Path, scribble_models: Path
) -> None:
    require("a mount namespace (unshare -rm)", present=can_mount())
    data = tmp_path / "data"
    with ServerProcess(data, scribble_models, prefix=small_disk(data, 16_384)) as server:
        assert server.process is not None
        inside = Path(f"/proc/{server.process.pid}/root") / data.relative_to("/")
        jobs = [server.submit(prompt="a fox", seed=i, num_inference_steps=30) for i in range(3)]
        filler = inside / "filler"
        with pytest.raises(OSError, match="space"):
            fill(filler)
        time.sleep(4)
        assert server.client.get("/health/live").status_code == 200
        assert server.client.get("/health/ready").status_code == 503
        refused = server.client.post("/api/v1/jobs", json={"prompt": "one more"})
        assert refused.status_code == 507
        filler.unlink()
        done = [server.wait_for(job["id"]) for job in jobs]
        assert [job["state"] for job in done] == ["succeeded"] * 3
        server.wait_ready()


def test_a_locked_database_makes_work_wait(tmp_path: Path, scribble_models: Path) -> None:
    with ServerProcess(tmp_path / "data", scribble_models) as server:
        job = server.submit(prompt="a fox", num_inference_steps=30)
        other = sqlite3.connect(tmp_path / "data" / "greenroom.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(7)
        assert server.client.get("/health/live").status_code == 200
        other.execute("ROLLBACK")
        other.close()
        assert server.wait_for(job["id"])["state"] == "succeeded"


def test_two_servers_on_one_data_folder_are_refused(tmp_path: Path, scribble_models: Path) -> None:
    with ServerProcess(tmp_path / "data", scribble_models) as first:
        second = ServerProcess(first.data_dir, scribble_models)
        with pytest.raises(RuntimeError, match="already uses this data folder"):
            second.start()
        second.client.close()
