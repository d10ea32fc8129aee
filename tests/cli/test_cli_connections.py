"""`greenroom connections`, with and without a running server."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.running import ROOT, Done, environment, greenroom
from tests.remote_service import RemoteService, remote_service
from tests.serving import ServerProcess

KEY = "sk-good"
MODEL = ("--provider", "openai", "--model", "gpt-image-1.5")


@pytest.fixture
def service() -> Iterator[RemoteService]:
    with remote_service() as running:
        yield running


def connections(data_dir: Path, *words: str, key: str = "", stdin: str | None = None) -> Done:
    """Run a command; `key` is in the variable MY_KEY."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "server", "connections", *words],
        cwd=ROOT,
        env={**environment(data_dir=data_dir), "MY_KEY": key},
        input=stdin or "",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def listed(data_dir: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(connections(data_dir, "list", "--json").out)
    return found


def test_a_connection_lives_from_add_to_remove(tmp_path: Path, service: RemoteService) -> None:
    added = connections(
        tmp_path, "add", "nano", *MODEL, "--url", service.url, "--key-env", "MY_KEY", key=KEY
    )
    assert (added.code, added.out) == (0, ""), added.err
    assert "Test it with: greenroom connections test nano" in added.err
    tested = connections(tmp_path, "test", "nano")
    assert tested.code == 0, tested.err
    assert "painter-xl" in tested.out
    edited = connections(tmp_path, "edit", "nano", "--name", "big", "--set", "quality=high")
    assert edited.code == 0, edited.err
    shown = connections(tmp_path, "show", "big")
    assert "quality=high" in shown.out
    assert connections(tmp_path, "test", "big").code == 0  # the key stayed
    assert connections(tmp_path, "duplicate", "big").code == 0
    ordered = connections(tmp_path, "order", "big-copy")
    assert ordered.out.index("big-copy") < ordered.out.index("big ")
    assert connections(tmp_path, "remove", "big").code == 0
    assert [one["name"] for one in listed(tmp_path)] == ["big-copy"]
    for done in (added, tested, edited, shown, ordered):
        assert KEY not in done.out + done.err


def test_a_connection_is_a_model_in_the_list(tmp_path: Path) -> None:
    connections(tmp_path, "add", "nano", *MODEL, "--key-env", "MY_KEY", key=KEY)
    models = json.loads(greenroom("models", "list", "--json", data_dir=tmp_path).out)
    [nano] = [model for model in models if model["id"] == "nano"]
    assert (nano["family"], nano["state"]) == ("remote", "ready")
    assert "nano" in greenroom("models", "list", data_dir=tmp_path).out
    assert "quality" in greenroom("models", "show", "nano", data_dir=tmp_path).out
    drawn = greenroom("generate", "a fox", "--model", "nano", data_dir=tmp_path)
    assert drawn.code == 2
    assert "'nano' is a connection, which a server draws with" in drawn.err


def test_a_wrong_key_is_one_line_that_says_so(tmp_path: Path, service: RemoteService) -> None:
    words = ("add", "nano", *MODEL, "--url", service.url, "--key-stdin")
    assert connections(tmp_path, *words, stdin="sk-wrong\n").code == 0
    failed = connections(tmp_path, "test", "nano")
    assert failed.code == 1
    assert failed.err.startswith("Error: ")
    assert "key" in failed.err
    assert "sk-wrong" not in failed.err
    assert "Traceback" not in failed.err


def test_without_a_key_it_says_how_to_give_one(tmp_path: Path) -> None:
    added = connections(tmp_path, "add", "nano", *MODEL)
    assert "It needs a key: greenroom connections edit nano --key" in added.err
    assert listed(tmp_path)[0]["reason"] == "it has no key; give it one"


def test_a_key_is_typed_at_a_prompt_that_does_not_show_it(
    tmp_path: Path, service: RemoteService
) -> None:
    words = ("add", "nano", *MODEL, "--url", service.url)
    master, slave = pty.openpty()
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "server", "connections", *words],
        cwd=ROOT,
        env=environment(data_dir=tmp_path),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    seen = b""
    while b"Key" not in seen:
        seen += os.read(master, 1000)
    time.sleep(0.2)  # the prompt turns the echo off after it is printed
    os.write(master, KEY.encode() + b"\n")
    while chunk := _read(master):
        seen += chunk
    os.close(master)
    assert process.wait(60) == 0, seen
    assert KEY.encode() not in seen
    assert connections(tmp_path, "test", "nano").code == 0


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1000)
    except OSError:  # the other side is gone
        return b""


def test_what_is_typed_wrong_is_refused_in_one_line(tmp_path: Path) -> None:
    for words, said in (
        (("add", "Bad Name", *MODEL), "name"),
        (("add", "x", "--provider", "nobody", "--model", "m"), "provider"),
        (("add", "x", "--provider", "greenroom", "--model", "m"), "base_url"),
        (("add", "scribble-xl", *MODEL), "'scribble-xl'"),
        (("add", "x", *MODEL, "--set", "quality"), "--set"),
        (("add", "x", *MODEL, "--set", "brush=3"), "brush"),
        (("add", "x", *MODEL, "--key-env", "NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE"),
        (("show", "gone"), "no connection 'gone'; there are none"),
    ):
        done = connections(tmp_path, *words)
        assert done.code != 0, words
        assert said in done.err, words
        assert "Traceback" not in done.err
    assert listed(tmp_path) == []


def test_an_export_is_imported_elsewhere_and_says_what_needs_a_key(tmp_path: Path) -> None:
    here, there, file = tmp_path / "a", tmp_path / "b", tmp_path / "connections.json"
    connections(here, "add", "nano", *MODEL, "--key-env", "MY_KEY", key=KEY)
    assert connections(here, "export", str(file)).code == 0
    assert connections(here, "export").out == file.read_text()
    assert KEY not in file.read_text()
    done = connections(there, "import", str(file))
    assert done.code == 0, done.err
    assert "'nano' needs a key" in done.err
    again = connections(there, "import", "-", stdin=file.read_text())
    assert "Skipped 'nano'" in again.err
    assert connections(there, "import", "-", stdin="{}").code == 2


def test_the_master_key_is_changed(tmp_path: Path, service: RemoteService) -> None:
    words = ("add", "nano", *MODEL, "--url", service.url, "--key-env", "MY_KEY")
    connections(tmp_path, *words, key=KEY)
    before = (tmp_path / "master-key").read_text()
    done = connections(tmp_path, "rotate-key")
    assert "1 keys are encrypted with a new master key" in done.err
    assert (tmp_path / "master-key").read_text() != before
    assert connections(tmp_path, "test", "nano").code == 0
    (tmp_path / "master-key").unlink()
    lost = connections(tmp_path, "test", "nano")
    assert lost.code == 1
    assert "the master key is missing" in lost.err
    assert connections(tmp_path, "rotate-key").code == 1
    begun = connections(tmp_path, "rotate-key", "--forget")
    assert "'nano' needs its key again" in begun.err
    assert connections(tmp_path, "edit", "nano", "--key-env", "MY_KEY", key=KEY).code == 0
    assert connections(tmp_path, "test", "nano").code == 0


@pytest.mark.slow
def test_a_running_server_takes_changes_over_and_lives_with_a_lost_master_key(
    tmp_path: Path, scribble_models: Path, service: RemoteService
) -> None:
    data_dir = tmp_path / "data"
    with ServerProcess(data_dir, scribble_models) as server:
        words = ("add", "nano", *MODEL, "--url", service.url, "--key-env", "MY_KEY")
        assert connections(data_dir, *words, key=KEY).code == 0
        until(lambda: server.client.get("/api/v1/models/nano").status_code == 200)
        assert connections(data_dir, "rotate-key").code == 0
        [nano] = server.get("/api/v1/connections")["items"]
        tested = server.client.post(f"/api/v1/connections/{nano['id']}/test")
        assert tested.status_code == 200, tested.text
        server.stop()
        kept = (data_dir / "master-key").read_bytes()
        (data_dir / "master-key").unlink()
        server.start()  # and it is ready
        assert server.get("/health/ready")["notes"] == ["connections"]
        assert server.get("/api/v1/models/nano")["state"] == "broken"
        failed = server.client.post(f"/api/v1/connections/{nano['id']}/test")
        assert (failed.status_code, failed.json()["type"]) == (503, "/problems/master-key")
        assert not (data_dir / "master-key").exists()
        drawn = server.submit(prompt="a fox", width=64, height=64, num_inference_steps=1)
        assert server.wait_for(drawn["id"])["state"] == "succeeded"
        (data_dir / "master-key").write_bytes(kept)
        until(lambda: server.get("/api/v1/models/nano")["state"] == "ready")
        assert server.get("/health/ready")["notes"] == []
    assert "connections.no_master_key" in (tmp_path / "data.log").read_text()


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that is soon true."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)
