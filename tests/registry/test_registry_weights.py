"""Files are judged by their first bytes, and names stay inside their folder."""

import json
import os
from pathlib import Path

import pytest

from server.domain.errors import RegistryError
from server.domain.models import ModelState, Task
from server.registry.places import OutsideError, Places
from server.registry.proposals import from_hub, from_name, from_path
from server.registry.safetensors import WeightsError, fingerprint, read_header
from tests.registry.yaml_files import HEAD, ONE, entry, registry

SDXL = ("conditioner.embedders.1.model.x", "model.diffusion_model.y")


def weights(path: Path, *names: str, fill: bytes = b"\1") -> Path:
    """Write a sound file with one small tensor for each name."""
    tensors = {
        name: {"dtype": "F16", "shape": [2, 4], "data_offsets": [16 * i, 16 * i + 16]}
        for i, name in enumerate(names)
    }
    return raw(path, json.dumps(tensors).encode(), fill * 16 * len(names))


def raw(path: Path, header: bytes, body: bytes = b"", length: int | None = None) -> Path:
    size = len(header) if length is None else length
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(size.to_bytes(8, "little") + header + body)
    return path


def tensor(**changed: object) -> bytes:
    sound = {"dtype": "F16", "shape": [2, 4], "data_offsets": [0, 16], **changed}
    return json.dumps({"a": sound}).encode()


def test_a_sound_header_is_read(tmp_path: Path) -> None:
    header = read_header(weights(tmp_path / "a.safetensors", *SDXL))
    assert set(header.spans) == set(SDXL)
    assert header.is_sdxl_checkpoint


@pytest.mark.parametrize(
    ("header", "body", "length"),
    [
        (b"{}", b"", 5 * 2**30),
        (b"{}", b"", 2**64 - 1),
        (b"", b"", 0),
        (b"\x80\x04pickled", b"", None),
        (b"[1]", b"", None),
        (b"[" * 100_000, b"", None),
        (b'{"a": 1}', b"", None),
        (tensor(shape=[3, 4]), b"x" * 16, None),
        (tensor(shape=[-2, -4]), b"x" * 16, None),
        (tensor(shape=["2", 4]), b"x" * 16, None),
        (tensor(data_offsets=[16, 0]), b"x" * 16, None),
        (tensor(data_offsets=[0, 2**40]), b"x" * 16, None),
        (tensor(), b"x" * 15, None),
        (tensor(), b"x" * 17, None),
        (b'{"a": NaN}', b"", None),
    ],
)
def test_a_wrong_header_is_refused_without_being_read(
    header: bytes, body: bytes, length: int | None, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError):
        read_header(raw(tmp_path / "a.safetensors", header, body, length))


def test_a_pickle_with_another_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data" / "models" / "a.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04" + b"\0" * 100)
    found = registry(tmp_path, HEAD + ONE + entry("bad", source="{single_file: a.safetensors}"))
    state, reason = found.status("bad")
    assert state is ModelState.BROKEN
    assert reason == (
        "'a.safetensors': it does not begin as a safetensors file does; get that form of it"
    )


def test_a_file_of_another_kind_of_model_is_told_from_sdxl(tmp_path: Path) -> None:
    weights(tmp_path / "data" / "models" / "a.safetensors", "lora_unet_x")
    found = registry(tmp_path, HEAD + ONE + entry("bad", source="{single_file: a.safetensors}"))
    assert "is no SDXL checkpoint" in str(found.status("bad")[1])


def test_the_fingerprint_follows_the_weights_not_the_file(tmp_path: Path) -> None:
    first = weights(tmp_path / "a.safetensors", *SDXL)
    copy = weights(tmp_path / "b.safetensors", *SDXL)
    os.utime(copy, (0, 0))
    other = weights(tmp_path / "c.safetensors", *SDXL, fill=b"\2")
    marks = [fingerprint(path, read_header(path)) for path in (first, copy, other)]
    assert marks[0] == marks[1] != marks[2]


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "/etc/passwd", "", ".", "link/x", "a\0b"]
)
def test_a_name_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    home = tmp_path / "models"
    home.mkdir()
    (home / "link").symlink_to(tmp_path)
    with pytest.raises(OutsideError):
        Places.inside(home, name)


def test_a_link_out_of_the_models_folder_is_refused(tmp_path: Path) -> None:
    weights(tmp_path / "secret.safetensors", *SDXL)
    models = tmp_path / "data" / "models"
    models.mkdir(parents=True)
    (models / "mine.safetensors").symlink_to(tmp_path / "secret.safetensors")
    text = entry("bad", source="{single_file: mine.safetensors}")
    found = registry(tmp_path, HEAD + ONE + text)
    assert "leads out of its folder" in str(found.status("bad")[1])
    with pytest.raises(RegistryError, match="leads out"):
        from_name(models, "mine.safetensors")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "~/x.safetensors", "../x.safetensors", "gone.safetensors"]
)
def test_over_http_only_names_inside_the_models_folder_count(name: str, tmp_path: Path) -> None:
    with pytest.raises(RegistryError):
        from_name(tmp_path, name)


def test_a_name_inside_the_models_folder_becomes_an_entry(tmp_path: Path) -> None:
    found = registry(tmp_path, HEAD + ONE)
    weights(tmp_path / "data" / "models" / "My Model v2.safetensors", *SDXL)
    info = found.add(from_name(tmp_path / "data" / "models", "My Model v2.safetensors"))
    assert info.id == "my-model-v2"
    assert found.status("my-model-v2") == (ModelState.READY, None)


FOLDER = ("unet", "vae", "text_encoder", "text_encoder_2")


def folder(path: Path, index: object) -> Path:
    for part in FOLDER:
        weights(path / part / "model.safetensors", "a")
    (path / "model_index.json").write_text(json.dumps(index))
    return path


SOUND = {"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}


def look(tmp_path: Path, index: object) -> tuple[ModelState, str | None]:
    folder(tmp_path / "data" / "models" / "mine", index)
    found = registry(tmp_path, HEAD + ONE + entry("mine", source="{folder: mine}"))
    return found.status("mine")


def test_a_diffusers_folder_is_ready(tmp_path: Path) -> None:
    assert look(tmp_path, SOUND) == (ModelState.READY, None)


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (
            {"_class_name": "FluxFillPipeline"},
            "it holds a FluxFillPipeline, not a StableDiffusionXLPipeline; "
            "write `family: flux` and `task: fill` in the entry",
        ),
        ({"_class_name": "LTXPipeline"}, "nothing here draws with it, so remove the entry"),
        ({**SOUND, "unet": ["my_code", "Net"]}, "its 'unet' needs code of its own (my_code)"),
        ([], "it holds a None"),
    ],
)
def test_a_folder_of_something_else_is_not(index: object, said: str, tmp_path: Path) -> None:
    state, reason = look(tmp_path, index)
    assert state is ModelState.BROKEN
    assert said in str(reason)


REPAINTS = {**SOUND, "_class_name": "StableDiffusionXLInpaintPipeline"}


def test_a_folder_that_repaints_is_ready_under_its_task_alone(tmp_path: Path) -> None:
    folder(tmp_path / "data" / "models" / "mine", REPAINTS)
    own = entry("mine", source="{folder: mine}", task="fill")
    other = entry("other", source="{folder: mine}")
    found = registry(tmp_path, HEAD + ONE + own + other)
    assert found.status("mine") == (ModelState.READY, None)
    assert found.status("other")[0] is ModelState.BROKEN
    assert "write `family: sdxl` and `task: fill`" in str(found.status("other")[1])
    assert found.engine_model("mine").task is Task.FILL


@pytest.mark.parametrize(
    ("pipeline", "kind"),
    [
        ("StableDiffusionXLInpaintPipeline", {"family": "sdxl", "task": "fill"}),
        ("FluxFillPipeline", {"family": "flux", "task": "fill"}),
        ("FluxKontextPipeline", {"family": "flux", "task": "edit"}),
        ("FluxPipeline", {"family": "flux"}),
    ],
)
def test_the_task_is_proposed_from_the_folders_own_word(
    pipeline: str, kind: dict[str, str], tmp_path: Path
) -> None:
    proposed = from_path(folder(tmp_path / "mine", {"_class_name": pipeline}))
    assert {key: proposed[key] for key in ("family", "task") if key in proposed} == kind


def test_a_folder_that_nothing_draws_with_is_not_proposed(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="holds a LTXPipeline"):
        from_path(folder(tmp_path / "mine", {"_class_name": "LTXPipeline"}))


def test_a_repo_of_a_task_that_its_family_lacks_is_not_proposed() -> None:
    with pytest.raises(RegistryError, match="sdxl has no models of task 'edit'; it has text, fill"):
        from_hub("a/b", "sdxl", task="edit")
    assert from_hub("a/b", "flux", task="edit")["task"] == "edit"


def test_a_folder_without_safetensors_is_not_ready(tmp_path: Path) -> None:
    home = folder(tmp_path / "data" / "models" / "mine", SOUND)
    (home / "vae" / "model.safetensors").rename(home / "vae" / "model.bin")
    found = registry(tmp_path, HEAD + ONE + entry("mine", source="{folder: mine}"))
    assert "no .safetensors in 'vae'" in str(found.status("mine")[1])


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    found = registry(tmp_path, HEAD + ONE + entry("mine", source="{folder: mine}"))
    assert found.status("mine") == (
        ModelState.BROKEN,
        "there is no 'mine'; put it there or remove the entry",
    )
