"""Whatever program wrote a file, the same adapter comes out; what does not fit is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from server.domain.models import Family
from server.engine.adapters.adapter import Adapter, LowRank
from server.engine.adapters.reading import read_adapter
from tests.engine.adapters import made
from tests.engine.adapters.made import Networks, Tensors


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


def _old_diffusers(adapter: Adapter) -> Tensors:
    attention = {name: tensor for name, tensor in made.peft(adapter).items() if ".attn" in name} | {
        name: tensor for name, tensor in made.peft(adapter).items() if "self_attn" in name
    }
    return made.renamed(
        attention,
        ("to_out.0", "to_out"),
        (".to_", ".processor.to_"),
        *((f"{part}_proj.", f"to_{part}.") for part in ("q", "k", "v", "out")),
        (".lora_A", "_lora.down"),
        (".lora_B", "_lora.up"),
    )


SDXL_FORMS: dict[str, Callable[[Adapter], Tensors]] = {
    "diffusers": made.peft,
    "diffusers of 2023": lambda adapter: made.renamed(
        made.peft(adapter), (".lora_A", ".lora.down"), (".lora_B", ".lora.up")
    ),
    "linear layers of 2023": lambda adapter: made.renamed(
        made.peft(adapter),
        (".lora_A", ".lora_linear_layer.down"),
        (".lora_B", ".lora_linear_layer.up"),
    ),
    "peft": lambda adapter: made.renamed(
        made.peft(adapter), ("unet.", "base_model.model."), (".weight", ".default.weight")
    ),
    "bare": lambda adapter: made.renamed(made.peft(adapter), ("unet.", "")),
    "kohya": made.released_sdxl,
    "kohya, diffusers' blocks": lambda adapter: made.kohya(adapter, made.SDXL_KOHYA),
    "comfy, diffusers' blocks": lambda adapter: made.renamed(
        made.peft(adapter),
        ("unet.", "diffusion_model."),
        *((f"{k}.", v) for k, v in COMFY_TEXT.items()),
    ),
}


@pytest.mark.parametrize("form", SDXL_FORMS)
def test_every_form_of_sdxl_gives_the_same_adapter(
    sdxl_networks: Networks, tmp_path: Path, form: str
) -> None:
    adapter = made.adapter(sdxl_networks, 1, rank=4, alpha=2)
    path = made.written(SDXL_FORMS[form](adapter), tmp_path)
    _same(read_adapter(path, Family.SDXL, sdxl_networks), adapter)


def test_processors_of_2023_are_attention_layers(sdxl_networks: Networks, tmp_path: Path) -> None:
    adapter = made.adapter(sdxl_networks, 1, wanted=lambda path: "attn" in path)
    path = made.written(_old_diffusers(adapter), tmp_path)
    _same(read_adapter(path, Family.SDXL, sdxl_networks), adapter)


def test_a_file_of_diffusers_has_its_alphas_in_its_metadata(
    sdxl_networks: Networks, tmp_path: Path
) -> None:
    adapter = made.adapter({"unet": sdxl_networks["unet"]}, 1, rank=4)
    words = {
        "unet.r": 4,
        "unet.lora_alpha": 8,
        "unet.alpha_pattern": {"attn1.to_q": 2.0},
        "unet.use_rslora": False,
    }
    path = made.written(made.peft(adapter), tmp_path, {"lora_adapter_metadata": json.dumps(words)})
    layers = read_adapter(path, Family.SDXL, sdxl_networks).components["unet"]
    assert {layer.scale for name, layer in layers.items() if "attn1.to_q" in name} == {0.5}
    assert {layer.scale for name, layer in layers.items() if "attn1.to_q" not in name} == {2.0}
    words["unet.use_rslora"] = True
    path = made.written(made.peft(adapter), tmp_path, {"lora_adapter_metadata": json.dumps(words)})
    assert read_adapter(path, Family.SDXL, sdxl_networks).components["unet"]["conv_in"].scale == 4.0


def test_an_alpha_may_be_a_whole_number(sdxl_networks: Networks, tmp_path: Path) -> None:
    tensors = made.query() | {f"{made.QUERY}.alpha": torch.tensor(2)}
    read = read_adapter(made.written(tensors, tmp_path), Family.SDXL, sdxl_networks)
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
    flux_networks: Networks, tmp_path: Path, form: str
) -> None:
    adapter = made.adapter({"transformer": flux_networks["transformer"]}, 1, rank=4, alpha=2)
    path = made.written(FLUX_FORMS[form](adapter), tmp_path)
    read = read_adapter(path, Family.FLUX, flux_networks)
    _same(read, adapter)
    assert read.rank == 4  # what is fused side by side comes apart again


def test_a_fused_layer_with_common_ranks_is_split(flux_networks: Networks, tmp_path: Path) -> None:
    numbers = torch.Generator().manual_seed(1)
    down = torch.randn(4, 64, generator=numbers)
    up = torch.randn(3 * 64 + 256, 4, generator=numbers)
    tensors = _underscored("single_blocks.1.linear1", LowRank(down, up, 0.5))
    read = read_adapter(made.written(tensors, tmp_path), Family.FLUX, flux_networks)
    layers = read.components["transformer"]
    block = "single_transformer_blocks.1"
    parts = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    together = torch.cat([made.change(layers[f"{block}.{part}"]) for part in parts])
    torch.testing.assert_close(together, 0.5 * up @ down)


def test_text_encoders_of_flux_are_kept(flux_networks: Networks, tmp_path: Path) -> None:
    text = {name: flux_networks[name] for name in made.TEXT}
    adapter = made.adapter(text, 1, alpha=2)
    prefixes = {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te3_"}
    path = made.written(made.kohya(adapter, prefixes), tmp_path)
    _same(read_adapter(path, Family.FLUX, flux_networks), adapter)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_small_number_formats_are_read(
    sdxl_networks: Networks, tmp_path: Path, dtype: torch.dtype
) -> None:
    adapter = made.adapter({"unet": sdxl_networks["unet"]}, 1, wanted=made.attention)
    tensors = {name: tensor.to(dtype) for name, tensor in made.peft(adapter).items()}
    read = read_adapter(made.written(tensors, tmp_path), Family.SDXL, sdxl_networks)
    layers = read.components["unet"]
    for path, layer in layers.items():
        wanted = tensors[f"unet.{path}.lora_A.weight"].float()
        assert torch.equal(layer.down.float(), wanted)
