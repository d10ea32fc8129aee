import subprocess
import sys
from pathlib import Path

import pytest

from server.cli import files
from server.cli.console import CommandError, pictures, span
from tests.cli.running import ROOT


def test_the_name_decides_the_format() -> None:
    assert files.format_for(Path("a.webp"), None) == "webp"
    assert files.format_for(Path("a.JPG"), None) == "jpeg"
    assert files.format_for(None, "webp") == "webp"
    assert files.format_for(None, None) is None


@pytest.mark.parametrize(("name", "asked"), [("a.gif", None), ("a", None), ("a.png", "webp")])
def test_a_name_that_cannot_be_kept_is_refused_before_drawing(name: str, asked: str | None) -> None:
    with pytest.raises(CommandError) as refused:
        files.format_for(Path(name), asked)
    assert refused.value.exit_code == 2


def test_an_existing_file_is_kept_and_the_next_number_taken(tmp_path: Path) -> None:
    meant = tmp_path / "fox.png"
    meant.write_bytes(b"mine")
    assert files.save(b"new", meant, 0, force=False) == tmp_path / "fox-2.png"
    assert files.save(b"newer", meant, 1, force=False) == tmp_path / "fox-3.png"
    assert meant.read_bytes() == b"mine"


def test_force_writes_over(tmp_path: Path) -> None:
    meant = tmp_path / "fox.png"
    meant.write_bytes(b"mine")
    assert files.save(b"new", meant, 0, force=True) == meant
    assert meant.read_bytes() == b"new"


def test_several_pictures_are_numbered(tmp_path: Path) -> None:
    names = [files.save(b"x", tmp_path / "fox.png", i, force=False).name for i in range(3)]
    assert names == ["fox.png", "fox-2.png", "fox-3.png"]


def test_a_folder_gets_a_file_named_after_the_seed(tmp_path: Path) -> None:
    assert files.target(tmp_path, 7, "jpeg") == tmp_path / "greenroom-7.jpg"
    assert files.target(None, 7, "png") == Path("greenroom-7.png")


def test_a_missing_folder_is_told_before_drawing(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="make it first"):
        files.check_folder(tmp_path / "none" / "fox.png")


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from server.cli import files
from server.cli.console import CommandError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    files.save(b"x" * 100_000, Path(sys.argv[1]), 0, force=False)
except CommandError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_leaves_no_half_picture(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _LIMITED, str(tmp_path / "fox.png")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot write" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.44, "0.4 s"), (12.4, "12 s"), (80, "80 s"), (200, "3 minutes"), (7200, "2 hours")],
)
def test_time_is_said_as_a_person_would(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_one_picture_is_no_plural() -> None:
    assert [pictures(1), pictures(3)] == ["1 picture", "3 pictures"]
