from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    FluxFillPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file, save_file

from server.domain.errors import ModelUnavailableError
from server.domain.models import EngineModel, Family, ModelPart, ModelSource, Task
from server.engine import loading
from server.engine.loading import load
from tests.engine.drawing import begin, finish, request
from tests.engine.workers import engine_model
from training.storybook.single_file import write_single_file

CPU = torch.device("cpu")


def latents_of(model: EngineModel) -> torch.Tensor:
    family = load(model, CPU)
    row = begin(family, request())
    finish(family, [row])
    return row.latents


@pytest.fixture(scope="module")
def pipeline(model_folders: dict[str, Path]) -> Any:
    return StableDiffusionXLPipeline.from_pretrained(model_folders["sdxl"], dtype=torch.float32)


@pytest.fixture(scope="module")
def plain(model_folders: dict[str, Path]) -> torch.Tensor:
    return latents_of(engine_model("tiny", model_folders["sdxl"], Family.SDXL))


def test_a_single_file_draws_as_its_folder_does(
    model_folders: dict[str, Path], pipeline: Any, plain: torch.Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "one.safetensors"
    write_single_file(pipeline, path)
    configs = tmp_path / "configs"
    shutil.copytree(model_folders["sdxl"], configs, ignore=shutil.ignore_patterns("*.safetensors"))
    source = ModelSource(kind="single_file", path=str(path), config=str(configs))
    model = engine_model("one", path, Family.SDXL).model_copy(update={"source": source})
    assert (latents_of(model) - plain).abs().max() < 1e-4


def test_half_precision_files_are_found(
    model_folders: dict[str, Path], pipeline: Any, plain: torch.Tensor, tmp_path: Path
) -> None:
    pipeline.save_pretrained(tmp_path / "half", variant="fp16")
    assert not list((tmp_path / "half" / "unet").glob("*model.safetensors"))
    half = engine_model("half", tmp_path / "half", Family.SDXL)
    assert (latents_of(half) - plain).abs().max() < 1e-4


def test_a_unet_part_replaces_the_weights(
    model_folders: dict[str, Path], plain: torch.Tensor, tmp_path: Path
) -> None:
    weights = load_file(model_folders["sdxl"] / "unet" / "diffusion_pytorch_model.safetensors")
    save_file({name: value * 0.5 for name, value in weights.items()}, tmp_path / "half.safetensors")
    save_file(weights, tmp_path / "same.safetensors")

    def with_part(name: str) -> torch.Tensor:
        part = ModelPart(kind="unet", path=str(tmp_path / name))
        return latents_of(engine_model("p", model_folders["sdxl"], Family.SDXL, (part,)))

    assert torch.equal(with_part("same.safetensors"), plain)
    assert not torch.allclose(with_part("half.safetensors"), plain)


@pytest.mark.parametrize("weight", [1.0, 0.4])
def test_an_adapter_part_is_fused_with_its_weight(
    model_folders: dict[str, Path], plain: torch.Tensor, tmp_path: Path, weight: float
) -> None:
    theirs = StableDiffusionXLPipeline.from_pretrained(
        model_folders["sdxl"], dtype=torch.float32, add_watermarker=False
    )
    theirs.set_progress_bar_config(disable=True)
    torch.manual_seed(4)
    theirs.unet.add_adapter(
        LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_k"], init_lora_weights=False)
    )
    theirs.save_lora_weights(tmp_path, get_peft_model_state_dict(theirs.unet))
    theirs.set_adapters("default", weight)
    asked = request()
    reference = theirs(
        asked.prompt,
        width=asked.width,
        height=asked.height,
        num_inference_steps=asked.num_inference_steps,
        guidance_scale=asked.guidance_scale,
        generator=torch.Generator().manual_seed(asked.seed),
        output_type="latent",
    ).images
    part = ModelPart(
        kind="adapter", path=str(tmp_path / "pytorch_lora_weights.safetensors"), weight=weight
    )
    ours = latents_of(engine_model("a", model_folders["sdxl"], Family.SDXL, (part,)))
    assert (ours - reference).abs().max() < 1e-4
    assert (ours - plain).abs().max() > 1e-3


def test_what_cannot_be_loaded_names_the_model_and_the_remedy(
    model_folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(model_folders["sdxl"], folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    other = ModelPart(kind="unet", path=str(model_folders["sdxl"] / "vae" / file.name))
    for model in (
        engine_model("cut", folder, Family.SDXL),
        engine_model("gone", tmp_path / "nowhere", Family.FLUX),
        engine_model("wrong", model_folders["sdxl"], Family.SDXL, (other,)),
    ):
        with pytest.raises(ModelUnavailableError, match=f"'{model.id}'.*greenroom models check"):
            load(model, CPU)


def test_pickled_weights_are_never_opened(model_folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(model_folders["sdxl"], folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()
    with pytest.raises(ModelUnavailableError):
        load(engine_model("pickled", folder, Family.SDXL), CPU)


@pytest.mark.parametrize(
    ("folder", "task", "kind"),
    [
        ("flux", Task.TEXT, FluxPipeline),
        ("flux-fill", Task.FILL, FluxFillPipeline),
        ("flux-kontext", Task.EDIT, FluxKontextPipeline),
        ("sdxl-fill", Task.FILL, StableDiffusionXLInpaintPipeline),
    ],
)
def test_a_task_has_its_own_pipeline_and_loads_without_a_word(
    folders: dict[str, Path],
    caplog: pytest.LogCaptureFixture,
    folder: str,
    task: Task,
    kind: type[DiffusionPipeline],
) -> None:
    logger = logging.getLogger("diffusers")  # which tells no other logger
    logger.addHandler(caplog.handler)
    opened = loading.open_pipeline(_with_task(folders[folder], task), torch.float32)
    logger.removeHandler(caplog.handler)
    assert type(opened) is kind
    assert not caplog.records


@pytest.mark.parametrize(
    ("folder", "task", "why"),
    [
        ("flux-fill", Task.TEXT, "reads a picture and a mask"),
        ("flux-kontext", Task.FILL, "reads no mask"),
        ("sdxl-fill", Task.TEXT, "reads a picture and a mask"),
        ("sdxl", Task.FILL, "reads no mask"),
        ("sdxl", Task.EDIT, "no sdxl checkpoint does"),
    ],
)
def test_a_task_that_is_not_the_networks_is_refused(
    folders: dict[str, Path], folder: str, task: Task, why: str
) -> None:
    with pytest.raises(ModelUnavailableError, match=f"'{folder}'.*{why}|'{folder}'.*{task}.*{why}"):
        load(_with_task(folders[folder], task), CPU)


def test_a_model_for_edits_looks_at_references(folders: dict[str, Path]) -> None:
    family = load(_with_task(folders["flux-kontext"], Task.EDIT), CPU)
    reference = Image.new("RGB", (300, 200), "teal")
    row = begin(family, request(num_inference_steps=1), references=(reference,))
    finish(family, [row])
    assert row.reference_grid == (832 // 16, 1248 // 16)


@pytest.fixture(scope="module")
def folders(
    model_folders: dict[str, Path], pipeline: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """With an SDXL checkpoint whose network reads a masked picture and a mask, too."""
    shape = {name: value for name, value in pipeline.unet.config.items() if name[0] != "_"}
    unet = UNet2DConditionModel(**{**shape, "in_channels": 9})
    folder = tmp_path_factory.mktemp("fill") / "sdxl-fill"
    parts = {**pipeline.components, "unet": unet}
    StableDiffusionXLInpaintPipeline(**parts, add_watermarker=False).save_pretrained(folder)
    return {**model_folders, "sdxl-fill": folder}


def _with_task(folder: Path, task: Task) -> EngineModel:
    family = Family.FLUX if folder.name.startswith("flux") else Family.SDXL
    return engine_model(folder.name, folder, family).model_copy(update={"task": task})
