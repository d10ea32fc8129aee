"""`greenroom models` from an empty data folder to a model that draws, and back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import greenroom
from tests.registry.hub_server import COMMIT, FakeHub, serving
from tests.registry.test_registry_weights import SDXL, weights
from tests.registry.yaml_files import HEAD, ONE, entry


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    hub = FakeHub()
    weights(tmp_path / "repo" / "mine.safetensors", *SDXL)
    hub.put("ann/model", tmp_path / "repo")
    with serving(hub):
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Path]:
    source = "{hub: ann/model, revision: null, file: mine.safetensors}"
    text = HEAD + ONE + entry("mine", source=source) + entry("bad", colour="red")
    (tmp_path / "models.yaml").write_text(text)
    return {"models": tmp_path / "models.yaml", "data_dir": tmp_path / "data"}


def test_the_list_names_every_model_and_what_is_broken(settings: dict[str, Path]) -> None:
    done = greenroom("models", "list", **settings)
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["id", "one", "mine", "bad"]
    assert "models.yaml:27: unknown key 'colour'" in done.err
    listed = json.loads(greenroom("models", "list", "--json", **settings).out)
    assert [(m["id"], m["state"]) for m in listed] == [
        ("one", "missing"),
        ("mine", "unpinned"),
        ("bad", "broken"),
    ]


def test_a_model_is_pinned_pulled_checked_shown_and_removed(
    hub: FakeHub, settings: dict[str, Path]
) -> None:
    early = greenroom("models", "pull", "mine", **settings)
    assert (early.code, "greenroom models pin mine" in early.err) == (1, True)
    pinned = greenroom("models", "pin", "mine", "--json", **settings)
    assert json.loads(pinned.out) == {"ann/model": COMMIT}
    pulled = json.loads(greenroom("models", "pull", "mine", "--json", **settings).out)
    assert (pulled["id"], pulled["state"]) == ("mine", "ready")
    assert hub.fetched() == ["mine.safetensors"]
    assert greenroom("models", "check", **settings).out == "mine: sound\n"
    shown = greenroom("models", "show", "mine", **settings).out
    assert "models.yaml:11" in shown
    assert "num_inference_steps" in shown
    removed = greenroom("models", "remove", "mine", "--json", **settings)
    assert json.loads(removed.out)["freed_bytes"] > 0
    gone = greenroom("models", "show", "mine", **settings)
    assert (gone.code, "no model 'mine'" in gone.err) == (2, True)


def test_a_damaged_file_fails_the_check(
    hub: FakeHub, settings: dict[str, Path], tmp_path: Path
) -> None:
    greenroom("models", "pin", "mine", **settings)
    greenroom("models", "pull", "mine", **settings)
    assert hub.fetched() == ["mine.safetensors"]
    (file,) = (tmp_path / "data" / "models").rglob("mine.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    done = greenroom("models", "check", "mine", **settings)
    assert (done.code, "its checksum is wrong" in done.out) == (1, True)


def test_a_file_of_ones_own_is_added_under_a_name(
    settings: dict[str, Path], tmp_path: Path
) -> None:
    file = weights(tmp_path / "Own One.safetensors", *SDXL)
    words = ("models", "add", str(file), "--licence", "mine alone", "--json")
    done = greenroom(*words, **settings)
    assert json.loads(done.out) == {"id": "own-one", "state": "ready", "reason": None}
    again = greenroom(*words, **settings)
    assert (again.code, "there is a model 'own-one' already" in again.err) == (1, True)
    assert greenroom("models", "remove", "own-one", **settings).code == 0
    assert file.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere/at-all",), "say --family sdxl or flux"),
        (("https://a.example/x.safetensors",), "needs --sha256"),
        (("https://a.example/x.ckpt", "--sha256", "0" * 64), "'.ckpt' files are pickles"),
        (("/nowhere/x.safetensors",), "there is no 'x.safetensors'"),
        (("a/b", "--family", "sd15"), "there is no family 'sd15'"),
    ],
)
def test_what_cannot_be_added_is_refused_with_a_remedy(
    words: tuple[str, ...], said: str, settings: dict[str, Path]
) -> None:
    done = greenroom("models", "add", *words, **settings)
    assert done.code != 0
    assert said in " ".join(done.err.split())


def test_a_registry_that_is_no_yaml_still_lists_what_is_wrong(
    settings: dict[str, Path],
) -> None:
    settings["models"].write_text("models: [")
    done = greenroom("models", "list", **settings)
    assert (done.code, "models.yaml:1: this is no YAML" in done.err) == (0, True)


def test_a_repo_is_added_with_the_task_it_was_made_for(settings: dict[str, Path]) -> None:
    add = ("models", "add", "ann/filler", "--family", "flux", "--task")
    added = greenroom(*add, "fill", "--json", **settings)
    assert json.loads(added.out)["state"] == "unpinned"
    assert "task: fill" in (settings["data_dir"] / "models.yaml").read_text()
    wrong = greenroom(*add, "edits", "--id", "other", **settings)
    assert wrong.code != 0
    assert "flux has no models of task 'edits'; it has text, fill, edit" in wrong.err
