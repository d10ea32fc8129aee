"""What the running server has in memory, asked and changed on the command line."""

from pathlib import Path

from tests.cli.running import Done, greenroom
from tests.serving import TOKEN, ServerProcess


def test_models_are_loaded_shown_and_unloaded(tmp_path: Path, scribble_models: Path) -> None:
    data = tmp_path / "data"

    def asked(*words: str) -> Done:
        return greenroom(
            "models", *words, data_dir=data, models_dir=scribble_models, admin_token=TOKEN
        )

    with ServerProcess(data, scribble_models, settings={"GREENROOM_KEEP_ALIVE_MINUTES": "60"}):
        assert asked("load", "scribble-xl").code == 0
        table = asked("loaded").out
        assert "cpu" in table
        assert "scribble-xl" in table
        missing = asked("load", "flux-dev")
        assert missing.code == 1
        assert "flux-dev" in missing.err
        assert asked("unload", "scribble-xl").code == 0
        assert "scribble-xl" not in asked("loaded").out


def test_without_a_server_there_is_nothing_to_load_into(tmp_path: Path) -> None:
    done = greenroom("models", "loaded", data_dir=tmp_path)
    assert done.code == 1
    assert "greenroom serve" in done.err
