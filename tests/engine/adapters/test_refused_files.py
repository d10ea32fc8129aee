"""What is in a file that cannot be drawn with is named, before anything is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from server.domain.errors import AdapterError
from server.domain.models import Family
from server.engine.adapters.adapter import LowRank
from server.engine.adapters.reading import read_adapter
from tests.engine.adapters import made
from tests.engine.adapters.made import Networks, Tensors

REFUSED: dict[str, tuple[Tensors, str]] = {
    "flux": (
        made.down_up_alpha(
            "lora_unet_double_blocks_0_img_mlp_0", LowRank(torch.ones(2, 4), torch.ones(4, 2), 1)
        ),
        "this adapter is for FLUX, the model is SDXL",
    ),
    "stable diffusion 1": (
        made.renamed(made.query(inputs=768), ("attn1.to_q", "attn2.to_k")),
        "this adapter is for Stable Diffusion 1.x, the model is SDXL",
    ),
    "an unknown layer": (
        made.renamed(made.query(), ("mid_block.attentions.0", "mid_block.attentions.7")),
        "this model has no such layers: 'unet.mid_block.attentions.7",
    ),
    "an unknown key": (made.query() | {"hello": torch.ones(1)}, "unknown keys: 'hello'"),
    "many unknown keys": (
        {f"key{number}": torch.ones(1) for number in range(9)},
        "unknown keys: 'key0', 'key1', 'key2' and 6 more",
    ),
    "odd inputs": (
        made.query(inputs=31),
        r"shape \(4, 31\), and this model's layer needs \(4, 32\)",
    ),
    "odd outputs": (
        made.query(outputs=33),
        r"shape \(33, 4\), and this model's layer needs \(32, 4\)",
    ),
    "an absurd rank": (made.query(rank=129), "has rank 129; from 1 to 128 are drawn with"),
    "no rank": (made.query(rank=0), "has rank 0; from 1 to 128"),
    "a lone matrix": (
        {f"{made.QUERY}.lora_A.weight": torch.ones(4, 32)},
        "layer 'unet.mid_block.*' has no up matrix",
    ),
    "a layer twice": (
        made.query() | made.renamed(made.query(), ("unet.", "diffusion_model.")),
        "are the same layer",
    ),
    "alphas in plenty": (
        made.query() | {f"{made.QUERY}.alpha": torch.ones(3)},
        r"shape \(3,\) and should be one number",
    ),
    "integers": (
        {f"{made.QUERY}.lora_A.weight": torch.ones(4, 32, dtype=torch.int8)},
        "holds I8, which are no weights",
    ),
    "infinite": (
        made.query() | {f"{made.QUERY}.lora_A.weight": torch.full((4, 32), torch.inf)},
        "has infinite numbers",
    ),
    "nothing": ({}, "it is empty"),
    "dora": (made.query() | {f"{made.QUERY}.dora_scale": torch.ones(32, 1)}, "is a DoRA"),
    "dora of peft": (
        made.query() | {f"{made.QUERY}.lora_magnitude_vector": torch.ones(32)},
        "is a DoRA",
    ),
    "lokr": ({"lora_unet_x.lokr_w1": torch.ones(2, 2)}, "is a LoKr"),
    "loha": ({"lora_unet_x.hada_w1_a": torch.ones(2, 2)}, "is a LoHa"),
    "tucker": (made.query() | {"lora_unet_x.lora_mid.weight": torch.ones(2)}, "with a Tucker core"),
    "a whole checkpoint": (
        {"model.diffusion_model.input_blocks.0.0.weight": torch.ones(2)},
        "unknown keys: 'model.diffusion_model",
    ),
    "biases": (
        made.query() | {f"{made.QUERY}.lora_B.bias": torch.ones(32)},
        "is a LoRA with biases",
    ),
    "differences": ({"lora_unet_x.diff": torch.ones(2)}, "is a LoRA with whole differences"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_drawn_with_is_named(
    sdxl_networks: Networks, tmp_path: Path, case: str
) -> None:
    tensors, message = REFUSED[case]
    path = made.written(tensors, tmp_path)
    with pytest.raises(AdapterError, match=message):
        read_adapter(path, Family.SDXL, sdxl_networks)


def test_an_adapter_for_sdxl_is_not_for_flux(
    sdxl_networks: Networks, flux_networks: Networks, tmp_path: Path
) -> None:
    path = made.written(made.kohya(made.adapter(sdxl_networks, 1), made.SDXL_KOHYA), tmp_path)
    with pytest.raises(AdapterError, match="this adapter is for SDXL, the model is FLUX"):
        read_adapter(path, Family.FLUX, flux_networks)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ('{"unet.use_dora": true}', "says 'unet.use_dora', which is not drawn with"),
        ("{", "metadata 'lora_adapter_metadata' is damaged"),
        ("[]", "metadata 'lora_adapter_metadata' is damaged"),
        ('{"unet.lora_alpha": "much"}', "has 'much' for an alpha"),
        ('{"unet.lora_alpha": NaN}', "has nan for an alpha"),
    ],
)
def test_wrong_metadata_is_named(
    sdxl_networks: Networks, tmp_path: Path, words: str, message: str
) -> None:
    path = made.written(made.query(), tmp_path, {"lora_adapter_metadata": words})
    with pytest.raises(AdapterError, match=message):
        read_adapter(path, Family.SDXL, sdxl_networks)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.ckpt", b"", "'.ckpt' files are not read, as they can carry programs"),
        ("x.safetensors", b"", "no sound safetensors file"),
        ("x.safetensors", b"\xff" * 64, "no sound safetensors file"),
        ("x.safetensors", (8).to_bytes(8, "little") + b'{"a": 1}', "no sound safetensors file"),
    ],
)
def test_what_is_no_safetensors_file_is_named(
    sdxl_networks: Networks, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AdapterError, match=message):
        read_adapter(path, Family.SDXL, sdxl_networks)


def test_a_file_that_is_gone_is_named(sdxl_networks: Networks, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="the file cannot be read"):
        read_adapter(tmp_path / "gone.safetensors", Family.SDXL, sdxl_networks)


def test_a_file_of_absurd_size_is_not_opened(sdxl_networks: Networks, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.truncate(9 * 2**30)  # holds no bytes on the disk
    with pytest.raises(AdapterError, match="an adapter has at most 8589934592"):
        read_adapter(path, Family.SDXL, sdxl_networks)


def test_a_file_of_very_many_tensors_is_not_read(sdxl_networks: Networks, tmp_path: Path) -> None:
    tensors: dict[str, Any] = {f"key{number}": torch.ones(1) for number in range(20_001)}
    path = made.written(tensors, tmp_path)
    with pytest.raises(AdapterError, match="has 20001 tensors; an adapter has at most 20000"):
        read_adapter(path, Family.SDXL, sdxl_networks)
