"""The list that comes with Greenroom, and the person's own laid over it."""

from pathlib import Path
from typing import Any

import diffusers
import pytest

from server.domain.errors import (
    ConflictError,
    ModelNotFoundError,
    RegistryError,
    RequestRefusedError,
)
from server.domain.images import ImageRequest
from server.domain.models import Family, ModelState, Task
from server.domain.resolve import OPTIONAL_PARAMETERS, resolve
from server.engine.schedulers import SCHEDULERS as ENGINE_SCHEDULERS
from server.registry.families import PARAMETERS, PIPELINES, SCHEDULERS, kind_of
from server.registry.overlay import Fields
from server.registry.registry import Registry
from tests.registry.yaml_files import HEAD, ONE, entry, registry

REPOSITORY = Path(__file__).parents[2]


NEEDED: Any = {"image": "01bx5zzkbkactav9wevgemmvrz", "mask": "01bx5zzkbkactav9wevgemmvs0"}


@pytest.fixture
def shipped(tmp_path: Path) -> Registry:
    return Registry(REPOSITORY / "models.yaml", tmp_path)


def test_nothing_that_comes_with_us_is_broken(shipped: Registry) -> None:
    assert shipped.broken() == ()


def test_at_least_sixteen_real_models_are_described(shipped: Registry) -> None:
    real = [info for info in shipped.infos() if not info.demonstration]
    assert len(real) >= 16
    assert {info.family for info in real} == {Family.SDXL, Family.FLUX}
    for info in real:
        assert len(info.description) > 40, info.id
        assert info.licence, info.id
        assert info.specialties, info.id
        assert info.needs_vram_gib, info.id
        assert len(info.sizes) >= 5, info.id
        assert {p.name for p in info.parameters} <= set(OPTIONAL_PARAMETERS)


def test_no_commit_is_invented(shipped: Registry) -> None:
    for one in shipped.entries():
        state = shipped.status(one.entry.id)[0]
        if one.info.demonstration:
            made_here = shipped.is_made_here(one.entry.id)
            assert state is (ModelState.MISSING if made_here else ModelState.READY)
        elif one.entry.unsupported is None:
            assert state is ModelState.UNPINNED
        assert all(source.revision is None for source in one.sources)


def test_a_fresh_install_draws_at_once_with_the_bundled_model(shipped: Registry) -> None:
    default = shipped.info(None)
    assert default.demonstration
    assert default.id == "storybook-xl"
    assert shipped.status(default.id) == (ModelState.READY, None)


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_schedulers_are_spelled_as_the_engine_does(family: str) -> None:
    assert set(SCHEDULERS[family]) == set(ENGINE_SCHEDULERS[Family(family)])


def test_every_optional_parameter_belongs_to_a_family() -> None:
    tables = [table for tasks in PARAMETERS.values() for table in tasks.values()]
    assert set().union(*tables) == set(OPTIONAL_PARAMETERS)


def test_every_kind_of_model_has_parameters_and_pipelines() -> None:
    kinds = {(family, task) for family, tasks in PARAMETERS.items() for task in tasks}
    assert kinds == {(family, task) for family, tasks in PIPELINES.items() for task in tasks}
    assert {task for _, task in kinds} == set(Task)
    for family, task in kinds:
        for name in PIPELINES[family][task]:
            assert hasattr(diffusers, name)
            assert kind_of(name) == (family, task)


def test_every_default_of_every_model_can_be_asked_for(shipped: Registry) -> None:
    for one in shipped.entries():
        least = {"prompt": "a fox", **(NEEDED if one.info.task is Task.FILL else {})}
        resolved = resolve(ImageRequest(**least), one.info, seed=1)
        for size in one.info.sizes:
            shape = ImageRequest(**least, aspect_ratio=size.aspect_ratio)
            assert resolve(shape, one.info, seed=1).width == size.width
        values = {
            name: value
            for name in OPTIONAL_PARAMETERS
            if (value := getattr(resolved, name)) is not None
        }
        again = ImageRequest(prompt="a fox", seed=1, **values)
        assert resolve(again, one.info, seed=2) == resolved


@pytest.mark.parametrize(
    ("model", "parameter", "value"),
    [
        ("sdxl-turbo", "guidance_scale", 5.0),
        ("flux-schnell", "guidance_scale", 3.5),
        ("flux-schnell", "max_sequence_length", 512),
        ("sdxl-lightning-4", "num_inference_steps", 5),
        ("flux-kontext-dev", "strength", 0.5),
        ("flux-kontext-dev", "mask", NEEDED["mask"]),
        ("flux-kontext-dev", "outpaint", {"left": 0.5}),
        ("flux-dev", "references", (NEEDED["image"],)),
        ("flux-dev", "clip_skip", 1),
        ("flux-fill-dev", "true_cfg_scale", 2.0),
        ("flux-fill-dev", "negative_prompt", "fog"),
        ("sdxl-turbo", "guidance_rescale", 0.7),
        ("sdxl-turbo", "negative_target_size", (64, 64)),
        ("scribble-xl", "clip_skip", 2),
    ],
)
def test_what_a_model_does_not_take_is_refused_by_name(
    model: str, parameter: str, value: float, shipped: Registry
) -> None:
    request = ImageRequest.model_validate({"prompt": "a fox", "model": model, parameter: value})
    with pytest.raises(RequestRefusedError) as refused:
        resolve(request, shipped.info(model), seed=1)
    assert refused.value.parameter == parameter


@pytest.mark.parametrize("model", ["flux-fill-dev", "sdxl-inpainting"])
@pytest.mark.parametrize("given", [{}, {"mask": NEEDED["mask"]}, {"image": NEEDED["image"]}])
def test_a_model_that_repaints_says_what_it_needs(
    model: str, given: dict[str, Any], shipped: Registry
) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        resolve(ImageRequest(prompt="a fox", **given), shipped.info(model), seed=1)
    assert refused.value.detail == (
        f"model '{model}' repaints a picture: give image and mask, or image and outpaint"
    )
    assert refused.value.parameter == ("mask" if "image" in given else "image")


def test_each_task_declares_its_own_pictures(shipped: Registry) -> None:
    def pictures(model: str) -> dict[str, str]:
        kinds = ("image", "images", "outpaint")
        return {p.name: p.type for p in shipped.info(model).parameters if p.type in kinds}

    started = {"image": "image", "mask": "image", "outpaint": "outpaint"}
    for model in ("sdxl-base", "flux-dev", "flux-fill-dev", "sdxl-inpainting"):
        assert pictures(model) == started
    assert pictures("flux-kontext-dev") == {"references": "images"}
    references = shipped.info("flux-kontext-dev").parameter("references")
    assert references is not None
    assert references.maximum == 4


def test_aliases_lead_to_their_model(shipped: Registry) -> None:
    assert shipped.info("sdxl").id == "sdxl-base"
    assert shipped.status("flux")[0] is ModelState.UNPINNED


def test_an_unknown_model_is_told_with_near_ones(shipped: Registry) -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'flux-scnell'; there is flux-schnell"):
        shipped.info("flux-scnell")


def test_entries_of_the_data_folder_win(tmp_path: Path) -> None:
    own = "default: two\nmodels:\n" + entry("one", name="Mine") + entry("two")
    found = registry(tmp_path, HEAD + ONE, overlay=own)
    assert found.info("one").name == "Mine"
    assert found.default == "two"
    assert str(found.entries()[0].where) == "DATA_DIR/models.yaml:3"


def test_a_broken_entry_of_the_data_folder_names_that_file(tmp_path: Path) -> None:
    found = registry(tmp_path, HEAD + ONE, overlay="models:\n" + entry("two", gated="1"))
    assert found.broken()[0].reason.startswith("entry 'two': DATA_DIR/models.yaml:7: 'gated' is 1")
    assert found.info(None).id == "one"


def test_an_edit_of_the_file_is_seen_at_once(tmp_path: Path) -> None:
    found = registry(tmp_path, HEAD + ONE)
    (tmp_path / "models.yaml").write_text(HEAD + ONE + entry("two"))
    assert [info.id for info in found.infos()] == ["one", "two"]


def test_an_added_model_is_written_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    found = registry(tmp_path, HEAD + ONE)
    fields: Fields = {
        "id": "two",
        "name": "Two",
        "family": "sdxl",
        "source": {"random": "sdxl"},
        "licence": "MIT",
        "gated": False,
        "description": "8: no, it is “words”",
        "sizes": {"1:1": "128x128"},
    }
    assert found.add(dict(fields)).description == fields["description"]
    with pytest.raises(ConflictError, match="choose another id"):
        found.add(dict(fields))
    with pytest.raises(RegistryError, match="'gated' is 7"):
        found.add({**fields, "id": "three", "gated": 7})
    again = registry(tmp_path, HEAD + ONE)
    assert [info.id for info in again.infos()] == ["one", "two"]
    again.remove("two")
    again.remove("one")
    assert registry(tmp_path, HEAD + ONE).infos() == ()


def test_a_damaged_file_of_the_person_is_not_written_over(tmp_path: Path) -> None:
    found = registry(tmp_path, HEAD + ONE, overlay="models: [")
    with pytest.raises(RegistryError, match=r"DATA_DIR/models.yaml:1: this is no YAML"):
        found.remove("one")
    assert (tmp_path / "data" / "models.yaml").read_text() == "models: ["


def test_a_chain_may_name_what_only_the_database_knows(tmp_path: Path) -> None:
    found = registry(tmp_path, HEAD + ONE + entry("two", fallback="[one, a-connection]"))
    assert found.broken() == ()
    assert found.fallback("two") == ("one", "a-connection")
    assert found.fallback("one") == ()
