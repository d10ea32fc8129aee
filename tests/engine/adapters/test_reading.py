"""Whatever program wrote a file, the same adapter comes out; what does not fit is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from server.domain.errors import AdapterError
from server.domain.models import Family
from server.engine import tiny
from server.engine.adapters.adapter import Adapter, LowRank
from server.engine.adapters.reading import read_adapter
from tests.engine.adapters import made
from tests.engine.adapters.made import Tensors

Networks = Mapping[str, nn.Module]


@pytest.fixture(scope="module")
def sdxl() -> Networks:
    pipeline = tiny.make_sdxl()
    return {name: getattr(pipeline, name) for name in ("unet", *made.TEXT)}


@pytest.fixture(scope="module")
def flux() -> Networks:
    pipeline = tiny.make_flux()
    return {name: getattr(pipeline, name) for name in ("transformer", *made.TEXT)}


def _same(ours: Adapter, theirs: Adapter) -> None:
    assert {name: set(layers) for name, layers in ours.components.items()} == {
        name: set(layers) for name, layers in theirs.components.items()
    }
    for name, layers in ours.components.items():
        for path, layer in layers.items():
            theirs_layer = theirs.components[name][path]
            assert layer.down.shape[1:] == theirs_layer.down.shape[1:], path
            torch.testing.assert_close(made.change(layer), made.change(theirs_layer))


COMFY_TEXT = {
    "text_encoder": "text_encoders.clip_l.transformer.",
    "text_encoder_2": "text_encoders.clip_g.transformer.",
}


def _renamed(tensors: Tensors, *changes: tuple[str, str]) -> Tensors:
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in changes:
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def _old_diffusers(adapter: Adapter) -> Tensors:
    attention = {name: tensor for name, tensor in made.peft(adapter).items() if ".attn" in name} | {
        name: tensor for name, tensor in made.peft(adapter).items() if "self_attn" in name
    }
    return _renamed(
        attention,
        ("to_out.0", "to_out"),
        (".to_", ".processor.to_"),
        *((f"{part}_proj.", f"to_{part}.") for part in ("q", "k", "v", "out")),
        (".lora_A", "_lora.down"),
        (".lora_B", "_lora.up"),
    )


SDXL_FORMS: dict[str, Callable[[Adapter], Tensors]] = {
    "diffusers": made.peft,
    "diffusers of 2023": lambda adapter: _renamed(
        made.peft(adapter), (".lora_A", ".lora.down"), (".lora_B", ".lora.up")
    ),
    "linear layers of 2023": lambda adapter: _renamed(
        made.peft(adapter),
        (".lora_A", ".lora_linear_layer.down"),
        (".lora_B", ".lora_linear_layer.up"),
    ),
    "peft": lambda adapter: _renamed(
        made.peft(adapter), ("unet.", "base_model.model."), (".weight", ".default.weight")
    ),
    "bare": lambda adapter: _renamed(made.peft(adapter), ("unet.", "")),
    "kohya": made.released_sdxl,
    "kohya, diffusers' blocks": lambda adapter: made.kohya(adapter, made.SDXL_KOHYA),
    "comfy, diffusers' blocks": lambda adapter: _renamed(
        made.peft(adapter),
        ("unet.", "diffusion_model."),
        *((f"{k}.", v) for k, v in COMFY_TEXT.items()),
    ),
}


@pytest.mark.parametrize("form", SDXL_FORMS)
def test_every_form_of_sdxl_gives_the_same_adapter(
    sdxl: Networks, tmp_path: Path, form: str
) -> None:
    adapter = made.adapter(sdxl, 1, rank=4, alpha=2)
    path = made.written(SDXL_FORMS[form](adapter), tmp_path)
    _same(read_adapter(path, Family.SDXL, sdxl), adapter)


def test_processors_of_2023_are_attention_layers(sdxl: Networks, tmp_path: Path) -> None:
    adapter = made.adapter(sdxl, 1, wanted=lambda path: "attn" in path)
    path = made.written(_old_diffusers(adapter), tmp_path)
    _same(read_adapter(path, Family.SDXL, sdxl), adapter)


def test_a_file_of_diffusers_has_its_alphas_in_its_metadata(sdxl: Networks, tmp_path: Path) -> None:
    adapter = made.adapter({"unet": sdxl["unet"]}, 1, rank=4)
    words = {
        "unet.r": 4,
        "unet.lora_alpha": 8,
        "unet.alpha_pattern": {"attn1.to_q": 2.0},
        "unet.use_rslora": False,
    }
    path = made.written(made.peft(adapter), tmp_path, {"lora_adapter_metadata": json.dumps(words)})
    layers = read_adapter(path, Family.SDXL, sdxl).components["unet"]
    assert {layer.scale for name, layer in layers.items() if "attn1.to_q" in name} == {0.5}
    assert {layer.scale for name, layer in layers.items() if "attn1.to_q" not in name} == {2.0}
    words["unet.use_rslora"] = True
    path = made.written(made.peft(adapter), tmp_path, {"lora_adapter_metadata": json.dumps(words)})
    assert read_adapter(path, Family.SDXL, sdxl).components["unet"]["conv_in"].scale == 4.0


def test_an_alpha_may_be_a_whole_number(sdxl: Networks, tmp_path: Path) -> None:
    tensors = _query() | {f"{QUERY}.alpha": torch.tensor(2)}
    read = read_adapter(made.written(tensors, tmp_path), Family.SDXL, sdxl)
    assert [layer.scale for layer in read.components["unet"].values()] == [0.5]


def _bfl(adapter: Adapter, names: Callable[[str, LowRank], Tensors]) -> Tensors:
    """Return an adapter of diffusers' layers in the fused names: ranks side by side."""
    from server.engine.adapters import names_flux

    layers = dict(adapter.components["transformer"])
    tensors: Tensors = {}
    for name, paths in names_flux.fused(list(layers)).items():
        parts = [layers.pop(path) for path in paths]
        down = torch.cat([part.down for part in parts])
        up = torch.zeros(sum(len(part.up) for part in parts), len(down))
        row = 0
        for number, part in enumerate(parts):
            up[row : row + len(part.up), part.rank * number : part.rank * (number + 1)] = part.up
            row += len(part.up)
        tensors |= names(name, LowRank(down, up, parts[0].scale))
    if "norm_out.linear" in layers:
        layer = layers.pop("norm_out.linear")
        first, second = layer.up.chunk(2)
        swapped = LowRank(layer.down, torch.cat([second, first]), layer.scale)
        tensors |= names("final_layer.adaLN_modulation.1", swapped)
    for path, layer in layers.items():
        (name,) = names_flux.other_names(path)
        tensors |= names(name, layer)
    return tensors


def _dotted(prefix: str) -> Callable[[str, LowRank], Tensors]:
    def tensors(name: str, layer: LowRank) -> Tensors:
        return {
            f"{prefix}{name}.lora_A.weight": layer.down,
            f"{prefix}{name}.lora_B.weight": layer.up * layer.scale,
        }

    return tensors


def _underscored(name: str, layer: LowRank) -> Tensors:
    return made.down_up_alpha("lora_unet_" + name.replace(".", "_"), layer)


FLUX_FORMS: dict[str, Callable[[Adapter], Tensors]] = {
    "diffusers": made.peft,
    "kohya": lambda adapter: _bfl(adapter, _underscored),
    "kohya, diffusers' layers": lambda adapter: made.kohya(
        adapter, {"transformer": "lora_transformer_"}
    ),
    "bfl": lambda adapter: _bfl(adapter, _dotted("")),
    "bfl of comfy": lambda adapter: _bfl(adapter, _dotted("diffusion_model.")),
    "bfl of peft": lambda adapter: _bfl(adapter, _dotted("base_model.model.")),
}


@pytest.mark.parametrize("form", FLUX_FORMS)
def test_every_form_of_flux_gives_the_same_adapter(
    flux: Networks, tmp_path: Path, form: str
) -> None:
    adapter = made.adapter({"transformer": flux["transformer"]}, 1, rank=4, alpha=2)
    path = made.written(FLUX_FORMS[form](adapter), tmp_path)
    read = read_adapter(path, Family.FLUX, flux)
    _same(read, adapter)
    assert read.rank == 4  # what is fused side by side comes apart again


def test_a_fused_layer_with_common_ranks_is_split(flux: Networks, tmp_path: Path) -> None:
    numbers = torch.Generator().manual_seed(1)
    down = torch.randn(4, 64, generator=numbers)
    up = torch.randn(3 * 64 + 256, 4, generator=numbers)
    tensors = _underscored("single_blocks.1.linear1", LowRank(down, up, 0.5))
    read = read_adapter(made.written(tensors, tmp_path), Family.FLUX, flux)
    layers = read.components["transformer"]
    block = "single_transformer_blocks.1"
    parts = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    together = torch.cat([made.change(layers[f"{block}.{part}"]) for part in parts])
    torch.testing.assert_close(together, 0.5 * up @ down)


def test_text_encoders_of_flux_are_kept(flux: Networks, tmp_path: Path) -> None:
    text = {name: flux[name] for name in made.TEXT}
    adapter = made.adapter(text, 1, alpha=2)
    prefixes = {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te3_"}
    path = made.written(made.kohya(adapter, prefixes), tmp_path)
    _same(read_adapter(path, Family.FLUX, flux), adapter)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_small_number_formats_are_read(sdxl: Networks, tmp_path: Path, dtype: torch.dtype) -> None:
    adapter = made.adapter({"unet": sdxl["unet"]}, 1, wanted=made.attention)
    tensors = {name: tensor.to(dtype) for name, tensor in made.peft(adapter).items()}
    read = read_adapter(made.written(tensors, tmp_path), Family.SDXL, sdxl)
    layers = read.components["unet"]
    for path, layer in layers.items():
        wanted = tensors[f"unet.{path}.lora_A.weight"].float()
        assert torch.equal(layer.down.float(), wanted)


QUERY = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def _query(rank: int = 4, inputs: int = 32, outputs: int = 32) -> Tensors:
    return {
        f"{QUERY}.lora_A.weight": torch.ones(rank, inputs),
        f"{QUERY}.lora_B.weight": torch.ones(outputs, rank),
    }


REFUSED: dict[str, tuple[Tensors, str]] = {
    "flux": (
        _underscored("double_blocks.0.img_mlp.0", LowRank(torch.ones(2, 4), torch.ones(4, 2), 1)),
        "this adapter is for FLUX, the model is SDXL",
    ),
    "stable diffusion 1": (
        _renamed(_query(inputs=768), ("attn1.to_q", "attn2.to_k")),
        "this adapter is for Stable Diffusion 1.x, the model is SDXL",
    ),
    "an unknown layer": (
        _renamed(_query(), ("mid_block.attentions.0", "mid_block.attentions.7")),
        "this model has no such layers: 'unet.mid_block.attentions.7",
    ),
    "an unknown key": (_query() | {"hello": torch.ones(1)}, "unknown keys: 'hello'"),
    "many unknown keys": (
        {f"key{number}": torch.ones(1) for number in range(9)},
        "unknown keys: 'key0', 'key1', 'key2' and 6 more",
    ),
    "odd inputs": (_query(inputs=31), r"shape \(4, 31\), and this model's layer needs \(4, 32\)"),
    "odd outputs": (_query(outputs=33), r"shape \(33, 4\), and this model's layer needs \(32, 4\)"),
    "an absurd rank": (_query(rank=129), "has rank 129; from 1 to 128 are drawn with"),
    "no rank": (_query(rank=0), "has rank 0; from 1 to 128"),
    "a lone matrix": (
        {f"{QUERY}.lora_A.weight": torch.ones(4, 32)},
        "layer 'unet.mid_block.*' has no up matrix",
    ),
    "a layer twice": (
        _query() | _renamed(_query(), ("unet.", "diffusion_model.")),
        "are the same layer",
    ),
    "alphas in plenty": (
        _query() | {f"{QUERY}.alpha": torch.ones(3)},
        r"shape \(3,\) and should be one number",
    ),
    "integers": (
        {f"{QUERY}.lora_A.weight": torch.ones(4, 32, dtype=torch.int8)},
        "holds I8, which are no weights",
    ),
    "infinite": (
        _query() | {f"{QUERY}.lora_A.weight": torch.full((4, 32), torch.inf)},
        "has infinite numbers",
    ),
    "nothing": ({}, "it is empty"),
    "dora": (_query() | {f"{QUERY}.dora_scale": torch.ones(32, 1)}, "is a DoRA"),
    "dora of peft": (_query() | {f"{QUERY}.lora_magnitude_vector": torch.ones(32)}, "is a DoRA"),
    "lokr": ({"lora_unet_x.lokr_w1": torch.ones(2, 2)}, "is a LoKr"),
    "loha": ({"lora_unet_x.hada_w1_a": torch.ones(2, 2)}, "is a LoHa"),
    "tucker": (_query() | {"lora_unet_x.lora_mid.weight": torch.ones(2)}, "with a Tucker core"),
    "differences": ({"lora_unet_x.diff": torch.ones(2)}, "is a LoRA with whole differences"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_drawn_with_is_named(sdxl: Networks, tmp_path: Path, case: str) -> None:
    tensors, message = REFUSED[case]
    path = made.written(tensors, tmp_path)
    with pytest.raises(AdapterError, match=message):
        read_adapter(path, Family.SDXL, sdxl)


def test_an_adapter_for_sdxl_is_not_for_flux(
    sdxl: Networks, flux: Networks, tmp_path: Path
) -> None:
    path = made.written(made.kohya(made.adapter(sdxl, 1), made.SDXL_KOHYA), tmp_path)
    with pytest.raises(AdapterError, match="this adapter is for SDXL, the model is FLUX"):
        read_adapter(path, Family.FLUX, flux)


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
def test_wrong_metadata_is_named(sdxl: Networks, tmp_path: Path, words: str, message: str) -> None:
    path = made.written(_query(), tmp_path, {"lora_adapter_metadata": words})
    with pytest.raises(AdapterError, match=message):
        read_adapter(path, Family.SDXL, sdxl)


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
    sdxl: Networks, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AdapterError, match=message):
        read_adapter(path, Family.SDXL, sdxl)


def test_a_file_that_is_gone_is_named(sdxl: Networks, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="the file cannot be read"):
        read_adapter(tmp_path / "gone.safetensors", Family.SDXL, sdxl)


def test_a_file_of_absurd_size_is_not_opened(sdxl: Networks, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.truncate(9 * 2**30)  # holds no bytes on the disk
    with pytest.raises(AdapterError, match="an adapter has at most 8589934592"):
        read_adapter(path, Family.SDXL, sdxl)


def test_a_file_of_very_many_tensors_is_not_read(sdxl: Networks, tmp_path: Path) -> None:
    tensors: dict[str, Any] = {f"key{number}": torch.ones(1) for number in range(20_001)}
    path = made.written(tensors, tmp_path)
    with pytest.raises(AdapterError, match="has 20001 tensors; an adapter has at most 20000"):
        read_adapter(path, Family.SDXL, sdxl)
