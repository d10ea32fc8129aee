"""`greenroom generate` and `recipe`, with and without a running server."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.running import ROOT, environment, greenroom
from tests.serving import TOKEN, ServerProcess

QUICK = ("--steps", "2", "--seed", "7")


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, scribble_models: Path
) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("served"), scribble_models) as running:
        yield running


@pytest.fixture(params=["served", pytest.param("alone", marks=pytest.mark.slow)])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, scribble_models: Path
) -> dict[str, str | Path]:
    """Settings of a command that finds a running server, and of one that finds none."""
    folder = {"models_dir": scribble_models}
    if request.param == "alone":
        return {**folder, "data_dir": tmp_path / "data"}
    running: ServerProcess = request.getfixturevalue("server")
    return {**folder, "data_dir": running.data_dir, "admin_token": TOKEN}


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.convert("RGB").tobytes()


def test_a_picture_is_drawn_and_its_recipe_draws_it_again(
    settings: dict[str, str | Path], tmp_path: Path
) -> None:
    drawn = greenroom("generate", "a fox", "-o", "fox.png", *QUICK, cwd=tmp_path, **settings)
    assert (drawn.code, drawn.out) == (0, "fox.png\n"), drawn.err
    assert "1 picture in" in drawn.err

    told = greenroom("recipe", "fox.png", cwd=tmp_path)
    assert told.out.startswith("a fox\n")
    assert "Seed: 7" in told.out

    again = greenroom(
        "generate", "--recipe", "fox.png", "-o", "again.png", cwd=tmp_path, **settings
    )
    assert again.code == 0, again.err
    assert pixels(tmp_path / "again.png") == pixels(tmp_path / "fox.png")

    recipe = greenroom("recipe", "fox.png", "--json", cwd=tmp_path).out
    (tmp_path / "fox.json").write_text(recipe)
    third = greenroom(
        "generate", "--recipe", "fox.json", "-o", "third.png", cwd=tmp_path, **settings
    )
    assert third.code == 0, third.err
    assert pixels(tmp_path / "third.png") == pixels(tmp_path / "fox.png")


def test_several_pictures_are_numbered_and_told_to_programs(
    settings: dict[str, str | Path], tmp_path: Path
) -> None:
    done = greenroom(
        "generate", "a fox", "-o", "fox.webp", "-n", "2", *QUICK, "--json", cwd=tmp_path, **settings
    )
    assert done.code == 0, done.err
    told = json.loads(done.out)["pictures"]
    assert [picture["path"] for picture in told] == ["fox.webp", "fox-2.webp"]
    assert [picture["recipe"]["seed"] for picture in told] == [7, 8]
    for picture in told:
        with Image.open(tmp_path / picture["path"]) as image:
            assert (image.format, image.size) == ("WEBP", (picture["width"], picture["height"]))


def test_a_picture_that_is_there_is_kept(settings: dict[str, str | Path], tmp_path: Path) -> None:
    (tmp_path / "fox.png").write_bytes(b"mine")
    done = greenroom("generate", "a fox", "-o", "fox.png", *QUICK, cwd=tmp_path, **settings)
    assert done.out == "fox-2.png\n", done.err
    assert "fox.png was there already and is kept" in done.err
    assert (tmp_path / "fox.png").read_bytes() == b"mine"


def test_a_picture_to_start_from_is_part_of_the_recipe(
    settings: dict[str, str | Path], tmp_path: Path
) -> None:
    Image.new("RGB", (64, 64), "green").save(tmp_path / "start.png")
    Image.new("RGB", (64, 64), "blue").save(tmp_path / "other.png")
    start = ("--image", "start.png", "--strength", "0.6", "--steps", "4", "--seed", "7")
    first = greenroom("generate", "a fox", "-o", "fox.png", *start, cwd=tmp_path, **settings)
    assert first.code == 0, first.err

    again = ("generate", "--recipe", "fox.png", "-o", "again.png")
    alone = greenroom(*again, cwd=tmp_path, **settings)
    assert alone.code == 2
    assert "--image" in alone.err
    other = greenroom(*again, "--image", "other.png", cwd=tmp_path, **settings)
    assert other.code == 2
    assert "--image is not the picture" in other.err
    same = greenroom(*again, "--image", "start.png", cwd=tmp_path, **settings)
    assert same.code == 0, same.err
    assert pixels(tmp_path / "again.png") == pixels(tmp_path / "fox.png")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "nobody"), "nobody"),
        (("--steps", "0"), "--steps"),
        (("--shape", "wide"), "--shape"),
        (("--style", "oil-on-toast"), "oil-on-toast"),
        (("--width", "1001", "--height", "1000"), "--width"),
        (("--fallback", "sometimes"), "--fallback"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_code_2(
    settings: dict[str, str | Path], tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    done = greenroom("generate", "a fox", *options, cwd=tmp_path, **settings)
    assert done.code == 2, done.err
    assert done.err.startswith("Error: ")
    assert len(done.err.splitlines()) == 1
    assert said in done.err
    assert list(tmp_path.glob("*.png")) == []


def start_long_job(server: ServerProcess, folder: Path) -> subprocess.Popen[str]:
    """A command that draws for seconds; returns once its job is known to the server."""
    known = job_ids(server)
    command = subprocess.Popen(
        [sys.executable, "-m", "server", "generate", "long", "--steps", "150", "-n", "4"],
        cwd=folder,
        env={**environment(data_dir=server.data_dir, admin_token=TOKEN), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background were started deaf to Ctrl-C, and so would this be.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 60
    while job_ids(server) == known and time.monotonic() < end:
        time.sleep(0.05)
    return command


def job_ids(server: ServerProcess) -> set[str]:
    return {job["id"] for job in server.get("/api/v1/jobs")["items"]}


def test_ctrl_c_cancels_the_job(server: ServerProcess, tmp_path: Path) -> None:
    known = job_ids(server)
    with start_long_job(server, tmp_path) as command:
        os.kill(command.pid, signal.SIGINT)
        _, err = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "Cancelled." in err
    [job_id] = job_ids(server) - known
    assert server.wait_for(job_id)["state"] == "cancelled"


@pytest.mark.slow
def test_a_command_waits_for_a_server_that_is_killed_and_comes_back(
    tmp_path: Path, scribble_models: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    with (
        ServerProcess(tmp_path / "data", scribble_models) as server,
        start_long_job(server, tmp_path / "pictures") as command,
    ):
        server.kill()
        server.start()
        out, err = command.communicate(timeout=240)
        assert command.returncode == 0, err
    assert len(out.splitlines()) == 4
    assert len(list((tmp_path / "pictures").iterdir())) == 4


def test_a_wrong_key_is_told_with_the_remedy(server: ServerProcess, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.port}"
    done = greenroom(
        "generate", "a fox", "--server", url, "--key", "nonsense", cwd=tmp_path, data_dir=tmp_path
    )
    assert done.code == 1
    assert "GREENROOM_KEY" in done.err


def test_a_picture_without_a_recipe_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    done = greenroom("recipe", "plain.png", cwd=tmp_path)
    assert done.code == 1
    assert "no Greenroom recipe" in done.err
