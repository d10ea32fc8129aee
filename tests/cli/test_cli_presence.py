import subprocess
import sys
from pathlib import Path

import pytest

from server.cli.presence import announced, running_server
from server.domain.errors import AlreadyServingError
from tests.cli.running import ROOT

_HOLD = """
import sys, time
from pathlib import Path
from server.cli.presence import announced
with announced(Path(sys.argv[1]), "http://127.0.0.1:1234"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_nobody_serves_an_empty_folder(tmp_path: Path) -> None:
    assert running_server(tmp_path) is None
    assert running_server(tmp_path / "none") is None


def test_the_address_is_known_while_the_server_lives_and_not_after(tmp_path: Path) -> None:
    with announced(tmp_path, "http://127.0.0.1:1234"):
        assert running_server(tmp_path) == "http://127.0.0.1:1234"
    assert running_server(tmp_path) is None


def test_a_killed_server_is_not_believed(tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", _HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert running_server(tmp_path) == "http://127.0.0.1:1234"
        holder.kill()
        holder.wait()
    assert (tmp_path / "address").read_text() == "http://127.0.0.1:1234"
    assert running_server(tmp_path) is None


def test_a_second_server_of_the_folder_is_told_where_the_first_is(tmp_path: Path) -> None:
    with (
        announced(tmp_path, "http://127.0.0.1:1234"),
        pytest.raises(AlreadyServingError, match=r"at http://127\.0\.0\.1:1234"),
        announced(tmp_path, "http://127.0.0.1:5678"),
    ):
        pass
