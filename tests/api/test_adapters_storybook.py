"""From a trainer's file to a picture: Storybook XL over HTTP, and the same with diffusers alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from server.domain.images import ResolvedRequest
from tests.api.conftest import draw
from tests.api.pictures import opened

STORYBOOK = Path(__file__).parents[2] / "server" / "assets" / "storybook-xl"
ASKED: dict[str, Any] = {"model": "storybook-xl", "num_inference_steps": 6, "seed": 11}
FILE = "pytorch_lora_weights.safetensors"
NAME = "wobbly"


def storybook() -> Any:
    from diffusers import StableDiffusionXLPipeline

    return StableDiffusionXLPipeline.from_pretrained(STORYBOOK)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of random numbers for Storybook XL's UNet, made by PEFT and saved by diffusers."""
    import torch
    from diffusers import StableDiffusionXLPipeline
    from peft import LoraConfig, get_peft_model_state_dict

    torch.manual_seed(3)
    unet = storybook().unet
    attention = ["to_q", "to_k", "to_v", "to_out.0"]
    config = LoraConfig(r=4, lora_alpha=2, init_lora_weights=False, target_modules=attention)
    unet.add_adapter(config)
    folder = tmp_path_factory.mktemp("lora")
    StableDiffusionXLPipeline.save_lora_weights(
        folder,
        unet_lora_layers=get_peft_model_state_dict(unet),
        unet_lora_adapter_metadata=config.to_dict(),
    )
    return folder


@pytest.fixture(scope="module")
def adapter(admin: httpx2.Client, folder: Path) -> Iterator[str]:
    data = (folder / FILE).read_bytes()
    added = admin.post("/api/v1/adapters", files={"file": (FILE, data)}, data={"id": NAME})
    assert added.status_code == 201, added.text
    yield NAME
    admin.delete(f"/api/v1/adapters/{NAME}")


def picture(client: httpx2.Client, job: dict[str, Any]) -> np.ndarray[Any, Any]:
    assert job["state"] == "succeeded", job
    return np.asarray(opened(client.get(job["images"][0]["url"]).content)).astype(int)


def theirs(folder: Path, job: dict[str, Any], weight: float) -> np.ndarray[Any, Any]:
    """Return what diffusers draws of the same resolved request."""
    from server.engine.families.base import Pictures
    from tests.engine import sdxl_reference

    pipeline = storybook()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.load_lora_weights(folder, weight_name=FILE, adapter_name=NAME)
    pipeline.set_adapters([NAME], [weight])
    asked = ResolvedRequest.model_validate(job["resolved"])
    return sdxl_reference.pixels(pipeline, asked, Pictures()).astype(int)


def test_the_picture_is_that_of_diffusers_with_the_same_file(
    client: httpx2.Client, adapter: str, folder: Path
) -> None:
    prompt = "a small red cat in the snow"
    plain = draw(client, prompt=prompt, **ASKED)
    listed = draw(client, prompt=prompt, adapters=[{"id": adapter, "weight": 0.7}], **ASKED)
    tagged = draw(client, prompt=f"{prompt} <lora:{adapter}:0.7>", **ASKED)
    ours = picture(client, listed)
    assert np.abs(ours - picture(client, plain)).max() > 10
    assert np.abs(ours - theirs(folder, listed, 0.7)).max() <= 1
    assert np.array_equal(ours, picture(client, tagged))
    assert tagged["images"][0]["recipe"]["adapters"] == listed["images"][0]["recipe"]["adapters"]
    assert listed["images"][0]["recipe"]["adapters"][0]["id"] == adapter


def test_unknown_names_are_refused(client: httpx2.Client, adapter: str) -> None:
    refused = client.post("/api/v1/jobs", json={**ASKED, "prompt": "a cat <lora:wobly:0.7>"})
    assert refused.status_code == 422
    assert refused.json()["detail"] == (
        f"no adapter 'wobly'; for model 'storybook-xl' there are {adapter}"
    )
