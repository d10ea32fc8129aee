"""`greenroom adapters`, and drawing with what it brought."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.running import greenroom
from tests.engine.adapters import made
from tests.serving import TOKEN, ServerProcess

QUICK = ("--steps", "2", "--seed", "7", "--guidance", "3", "--model", "scribble-xl")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from server.engine import tiny

    adapter = made.adapter({"unet": tiny.make_sdxl().unet}, 1, wanted=made.attention, size=0.3)
    path = made.written(made.peft(adapter), tmp_path_factory.mktemp("adapters"))
    return path.rename(path.with_name("Ink.safetensors"))


def test_an_adapter_is_added_listed_shown_and_removed(tmp_path: Path, file: Path) -> None:
    added = greenroom("adapters", "add", str(file), data_dir=tmp_path)
    assert added.code == 0, added.err
    assert "Added 'ink', for sdxl" in added.err
    [listed] = json.loads(greenroom("adapters", "list", "--json", data_dir=tmp_path).out)
    assert (listed["id"], listed["rank"], listed["file_name"]) == ("ink", 4, "Ink.safetensors")
    assert "Ink.safetensors" in greenroom("adapters", "list", data_dir=tmp_path).out
    assert listed["sha256"] in greenroom("adapters", "show", "ink", data_dir=tmp_path).out
    assert (tmp_path / "models" / "adapters" / f"{listed['sha256']}.safetensors").is_file()
    assert greenroom("adapters", "remove", "ink", data_dir=tmp_path).code == 0
    gone = greenroom("adapters", "show", "ink", data_dir=tmp_path)
    assert (gone.code, gone.err) == (1, "Error: no adapter 'ink'; there are none\n")


def test_what_is_no_adapter_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"words")
    for name, said in (
        ("x.safetensors", "'x.safetensors': it is no sound safetensors file; fetch it again"),
        ("gone.safetensors", "cannot read"),
        ("x.ckpt", "'.ckpt' files are not read"),
    ):
        done = greenroom("adapters", "add", str(tmp_path / name), data_dir=tmp_path / "data")
        assert done.code != 0
        assert said in done.err.replace("\n", " ")


def drawn(tmp_path: Path, name: str, *words: str, **settings: str | Path) -> bytes:
    prompt = () if "--recipe" in words else ("a fox", *QUICK)
    done = greenroom("generate", *prompt, "-o", name, *words, cwd=tmp_path, **settings)
    assert done.code == 0, done.err
    with Image.open(tmp_path / name) as image:
        return image.convert("RGB").tobytes()


def test_a_running_server_draws_with_it_at_once(
    tmp_path: Path, scribble_models: Path, file: Path
) -> None:
    models_dir = tmp_path / "models"
    shutil.copytree(scribble_models, models_dir)
    settings: dict[str, str | Path] = {
        "data_dir": tmp_path / "data",
        "models_dir": models_dir,
        "admin_token": TOKEN,
    }
    with ServerProcess(tmp_path / "data", models_dir):
        assert (
            greenroom("adapters", "add", str(file), "--id", "chalk", cwd=tmp_path, **settings).code
            == 0
        )
        plain = drawn(tmp_path, "plain.png", **settings)
        chalk = drawn(tmp_path, "chalk.png", "--adapter", "chalk:0.5", **settings)
        assert plain != chalk
        again = drawn(tmp_path, "again.png", "--recipe", "chalk.png", **settings)
        assert again == chalk
        for name, said in (("inc", "no adapter 'inc'"), ("chalk:much", "'much' is no weight")):
            refused = greenroom(
                "generate", "a fox", *QUICK, "--adapter", name, cwd=tmp_path, **settings
            )
            assert refused.code == 2
            assert said in refused.err
    told = greenroom("recipe", "chalk.png", cwd=tmp_path)
    assert told.out.startswith("a fox <lora:chalk:0.5>\n")


@pytest.mark.slow
def test_without_a_server_it_is_drawn_with_too(
    tmp_path: Path, scribble_models: Path, file: Path
) -> None:
    models_dir = tmp_path / "models"
    shutil.copytree(scribble_models, models_dir)
    settings: dict[str, str | Path] = {"data_dir": tmp_path / "data", "models_dir": models_dir}
    assert greenroom("adapters", "add", str(file), cwd=tmp_path, **settings).code == 0
    plain = drawn(tmp_path, "plain.png", **settings)
    assert drawn(tmp_path, "ink.png", "--adapter", "ink", **settings) != plain
