"""`greenroom serve`: where it answers, how it stops."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from server.cli.serve import address, listen
from tests.cli.running import ROOT, environment, greenroom


def start(**settings: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "server", "serve"],
        cwd=ROOT,
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def page_of(server: subprocess.Popen[str]) -> str:
    """The sign-in link as it is printed."""
    assert server.stdout is not None
    for line in server.stdout:
        if line.split()[:1] == ["Open"]:
            return line.split()[1]
    raise AssertionError("no link was printed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_a_link_that_signs_in_and_stops_when_told(
    tmp_path: Path, scribble_models: Path, number: signal.Signals
) -> None:
    with start(data_dir=tmp_path, models_dir=scribble_models, port="0") as server:
        link = page_of(server)
        with httpx2.Client(follow_redirects=True) as browser:
            answer = browser.get(link)
            assert answer.status_code == 200
            assert "token" not in str(answer.url)
            again = browser.get(f"{httpx2.URL(link).copy_with(query=None)}api/v1/jobs")
            assert again.status_code == 200
        server.send_signal(number)
        assert server.wait(20) == 0
    assert oct((tmp_path / "admin-token").stat().st_mode)[-3:] == "600"


def test_open_streams_do_not_hold_it_up(tmp_path: Path, scribble_models: Path) -> None:
    with start(data_dir=tmp_path, models_dir=scribble_models, port="0") as server:
        url = httpx2.URL(page_of(server))
        token = (tmp_path / "admin-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx2.stream(
            "GET", url.copy_with(path="/api/v1/events", query=None), headers=headers
        ):
            started = time.monotonic()
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
        assert time.monotonic() - started < 4


def test_a_chosen_token_is_not_printed(tmp_path: Path, scribble_models: Path) -> None:
    token = "chosen-" + "0" * 32
    with start(
        data_dir=tmp_path, models_dir=scribble_models, port="0", admin_token=token
    ) as server:
        assert token not in page_of(server)
        server.terminate()
        server.wait(20)


def test_one_folder_has_one_server(tmp_path: Path, scribble_models: Path) -> None:
    with start(data_dir=tmp_path, models_dir=scribble_models, port="0") as server:
        page_of(server)
        second = greenroom("serve", data_dir=tmp_path, models_dir=scribble_models, port="0")
        server.terminate()
        server.wait(20)
    assert second.code == 1
    assert "already uses this data folder, at http://127.0.0.1:" in second.err


def test_the_address_is_one_that_a_browser_here_can_open() -> None:
    with listen("0.0.0.0", 0) as everywhere:  # noqa: S104
        assert address(everywhere) == f"http://127.0.0.1:{everywhere.getsockname()[1]}"
