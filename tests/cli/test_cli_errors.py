"""Every wrong call is one clear line on stderr and an exit code."""

import socket
from pathlib import Path

from tests.cli.running import greenroom


def test_an_unknown_command_is_wrong_usage() -> None:
    done = greenroom("paint")
    assert (done.code, done.out) == (2, "")
    assert "No such command" in done.err


def test_a_wrong_setting_is_named_by_its_variable(tmp_path: Path) -> None:
    done = greenroom("serve", data_dir=tmp_path, port="many")
    assert done.code == 2
    assert done.err.startswith("Error: GREENROOM_PORT: ")
    assert len(done.err.splitlines()) == 1


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    done = greenroom("serve", data_dir=tmp_path, config=tmp_path / "none.toml")
    assert done.code == 2
    assert "none.toml" in done.err


def test_a_damaged_settings_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("port = = 1")
    done = greenroom("serve", data_dir=tmp_path, config=tmp_path / "bad.toml")
    assert done.code == 2
    assert "is not TOML" in done.err


def test_a_misspelled_variable_is_remarked_on(tmp_path: Path) -> None:
    done = greenroom("keys", "list", data_dir=tmp_path, prot="9000")
    assert "GREENROOM_PROT is no setting" in done.err
    assert done.code == 0


def test_a_port_in_use_is_said_with_the_remedy(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = greenroom("serve", data_dir=tmp_path, port=str(taken.getsockname()[1]))
    assert done.code == 1
    assert "is in use" in done.err
    assert "GREENROOM_PORT" in done.err


def test_a_host_of_another_machine_is_refused(tmp_path: Path) -> None:
    done = greenroom("serve", data_dir=tmp_path, host="203.0.113.1")
    assert done.code == 1
    assert "cannot listen on '203.0.113.1'" in done.err


def test_a_data_folder_that_takes_no_files_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = greenroom("serve", data_dir=tmp_path / "file" / "data")
    assert done.code == 1
    assert "cannot write to the data folder" in done.err
    assert "GREENROOM_DATA_DIR" in done.err


def test_generate_wants_a_prompt_or_a_recipe(tmp_path: Path) -> None:
    done = greenroom("generate", data_dir=tmp_path)
    assert done.code == 2
    assert "--recipe" in done.err


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = greenroom(
        "generate", "a fox", "--server", "http://127.0.0.1:9", cwd=tmp_path, data_dir=tmp_path
    )
    assert done.code == 1
    assert "http://127.0.0.1:9" in done.err
    assert "does not answer" in done.err


def test_a_recipe_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = greenroom("recipe", str(tmp_path / "none.png"))
    assert done.code == 2
    assert "No such file" in done.err


def test_json_that_is_no_recipe_is_refused_by_field(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"version": 1}')
    done = greenroom("recipe", str(tmp_path / "a.json"))
    assert done.code == 1
    assert "is no recipe: model" in done.err
