"""One `.safetensors` file with SDXL's original key names draws without asking any server."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from server.domain.models import ModelState
from server.engine.loading import load
from server.registry.places import SDXL_CONFIG
from server.registry.proposals import from_path
from tests.registry.yaml_files import HEAD, ONE, entry, registry
from training.storybook.single_file import write_single_file


@pytest.fixture(scope="module")
def tiny(scribble_models: Path) -> Path:
    return scribble_models / "random" / "sdxl"


@pytest.fixture(scope="module")
def checkpoint(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "mine.safetensors"
    write_single_file(StableDiffusionXLPipeline.from_pretrained(tiny), path)
    return path


def test_the_file_is_detected_loaded_and_holds_the_same_weights(
    checkpoint: Path, tiny: Path, tmp_path: Path
) -> None:
    source = json.dumps({"single_file": str(checkpoint), "config": str(tiny)})
    found = registry(tmp_path, HEAD + ONE + entry("mine", source=source))
    assert found.broken() == ()
    model = found.engine_model("mine")
    assert (model.source.kind, model.source.path) == ("single_file", str(checkpoint))
    loaded = load(model, torch.device("cpu"))
    original = StableDiffusionXLPipeline.from_pretrained(tiny)
    assert loaded.parameter_count == sum(p.numel() for p in original.unet.parameters())
    again = StableDiffusionXLPipeline.from_single_file(
        str(checkpoint), config=str(tiny), local_files_only=True, add_watermarker=False
    )
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        ours = getattr(again, part).state_dict()
        for name, value in getattr(original, part).state_dict().items():
            assert torch.equal(ours[name], value), f"{part} {name}"


def test_without_a_config_the_one_that_comes_with_us_is_used(
    checkpoint: Path, tmp_path: Path
) -> None:
    entry_fields = from_path(checkpoint)
    assert entry_fields["id"] == "mine"
    found = registry(tmp_path, HEAD + ONE)
    found.add(entry_fields)
    assert found.engine_model("mine").source.config == str(SDXL_CONFIG)


def test_the_config_that_comes_with_us_is_sdxls_own() -> None:
    """The counts are those of the published model."""
    with torch.device("meta"):
        parts = (
            UNet2DConditionModel.from_config(
                UNet2DConditionModel.load_config(SDXL_CONFIG / "unet")
            ),
            AutoencoderKL.from_config(AutoencoderKL.load_config(SDXL_CONFIG / "vae")),
            CLIPTextModel(CLIPTextConfig.from_pretrained(SDXL_CONFIG / "text_encoder")),
            CLIPTextModelWithProjection(
                CLIPTextConfig.from_pretrained(SDXL_CONFIG / "text_encoder_2")
            ),
        )
    counts = [sum(p.numel() for p in part.parameters()) for part in parts]
    assert counts == [2_567_463_684, 83_653_863, 123_060_480, 694_659_840]


def test_the_tokenizers_that_come_with_us_speak_clips_numbers() -> None:
    first, second = (
        CLIPTokenizer.from_pretrained(SDXL_CONFIG / n) for n in ("tokenizer", "tokenizer_2")
    )
    cat = [49406, 320, 1125, 539, 320, 2368, 49407]
    padded = {"padding": "max_length", "max_length": 9}
    assert first("a photo of a cat", **padded).input_ids == [*cat, 49407, 49407]
    assert second("a photo of a cat", **padded).input_ids == [*cat, 0, 0]
    assert (len(first), first.model_max_length) == (49408, 77)


def test_a_config_folder_that_lacks_a_part_is_told(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    source = json.dumps({"single_file": str(checkpoint), "config": str(tmp_path / "config")})
    found = registry(tmp_path, HEAD + ONE + entry("mine", source=source))
    assert found.status("mine") == (
        ModelState.BROKEN,
        "the config folder has no 'model_index.json'; remove `config` to use SDXL's own",
    )
