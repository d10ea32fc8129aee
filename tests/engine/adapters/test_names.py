"""Names at the real sizes of SDXL and FLUX.1, where diffusers' own converters say the same."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin as SdxlLoader
from diffusers.loaders.lora_conversion_utils import _convert_kohya_flux_lora_to_diffusers
from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft

from server.domain.models import Family
from server.engine.adapters import names_flux
from server.engine.adapters.header import Header
from server.engine.adapters.layers import LayerShape, layers_of
from server.engine.adapters.names import Place, flat, table_of
from server.engine.adapters.plan import plan

Layers = Mapping[str, LayerShape]
Shapes = dict[str, tuple[int, ...]]

# The shapes of real files, from the layers that all of them have.
SDXL_KNOWN: Mapping[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (
        "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k",
        (4, 2048),
        (640, 4),
    ),
    "lora_unet_input_blocks_8_1_transformer_blocks_9_ff_net_0_proj": (
        "down_blocks.2.attentions.1.transformer_blocks.9.ff.net.0.proj",
        (4, 1280),
        (10240, 4),
    ),
    "lora_unet_middle_block_1_transformer_blocks_3_attn1_to_out_0": (
        "mid_block.attentions.0.transformer_blocks.3.attn1.to_out.0",
        (4, 1280),
        (1280, 4),
    ),
    "lora_unet_input_blocks_3_0_op": (
        "down_blocks.0.downsamplers.0.conv",
        (4, 320, 3, 3),
        (320, 4, 1, 1),
    ),
    "lora_unet_output_blocks_2_2_conv": (
        "up_blocks.0.upsamplers.0.conv",
        (4, 1280, 3, 3),
        (1280, 4, 1, 1),
    ),
    "lora_unet_output_blocks_6_0_skip_connection": (
        "up_blocks.2.resnets.0.conv_shortcut",
        (4, 960, 1, 1),
        (320, 4, 1, 1),
    ),
    "lora_unet_middle_block_2_in_layers_2": (
        "mid_block.resnets.1.conv1",
        (4, 1280, 3, 3),
        (1280, 4, 1, 1),
    ),
    "lora_unet_label_emb_0_0": ("add_embedding.linear_1", (4, 2816), (1280, 4)),
}
FLUX_KNOWN: Mapping[str, tuple[tuple[str, ...], int, int]] = {
    "double_blocks.18.img_attn.qkv": (
        (
            "transformer_blocks.18.attn.to_q",
            "transformer_blocks.18.attn.to_k",
            "transformer_blocks.18.attn.to_v",
        ),
        3072,
        9216,
    ),
    "single_blocks.37.linear1": (
        (
            "single_transformer_blocks.37.attn.to_q",
            "single_transformer_blocks.37.attn.to_k",
            "single_transformer_blocks.37.attn.to_v",
            "single_transformer_blocks.37.proj_mlp",
        ),
        3072,
        21504,
    ),
    "single_blocks.0.linear2": (("single_transformer_blocks.0.proj_out",), 15360, 3072),
    "double_blocks.0.txt_mod.lin": (("transformer_blocks.0.norm1_context.linear",), 3072, 18432),
    "final_layer.adaLN_modulation.1": (("norm_out.linear",), 3072, 6144),
    "txt_in": (("context_embedder",), 4096, 3072),
    "guidance_in.in_layer": (("time_text_embed.guidance_embedder.linear_1",), 256, 3072),
}


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    """SDXL's, from its published configuration, without weights."""
    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=128,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(320, 640, 1280),
            layers_per_block=2,
            cross_attention_dim=2048,
            attention_head_dim=(5, 10, 20),
            transformer_layers_per_block=(1, 2, 10),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )


@pytest.fixture(scope="module")
def sdxl(unet: UNet2DConditionModel) -> Layers:
    return layers_of(unet)


@pytest.fixture(scope="module")
def flux() -> Layers:
    """FLUX.1-dev's layers; its configuration is the class's own defaults."""
    with torch.device("meta"):
        return layers_of(FluxTransformer2DModel(guidance_embeds=True))


def _shapes(name: str, places: list[Place], rank: int) -> Shapes:
    first = places[0].shape
    outputs = sum(place.shape.outputs for place in places)
    return {
        f"{name}.lora_down.weight": first.down(rank),
        f"{name}.lora_up.weight": LayerShape(first.inputs, outputs, first.kernel).up(rank),
        f"{name}.alpha": (),
    }


def _paths(shapes: Shapes, family: Family, component: str, layers: Layers) -> list[str]:
    planned = plan(Header(shapes, {}), family, {component: layers})
    return sorted(place.path for one in planned for place in one.places)


def test_sdxl_has_794_layers_and_flux_504(sdxl: Layers, flux: Layers) -> None:
    assert (len(sdxl), len(flux)) == (794, 504)


def test_a_whole_file_of_kohya_names_is_every_layer_of_sdxl(sdxl: Layers) -> None:
    shapes: Shapes = {}
    for name, place in _released(sdxl).items():
        shapes |= _shapes(name, [place], 4)
    assert len(shapes) == 3 * 794
    assert _paths(shapes, Family.SDXL, "unet", sdxl) == sorted(sdxl)


def test_names_of_the_release_mean_what_diffusers_makes_of_them(
    unet: UNet2DConditionModel, sdxl: Layers
) -> None:
    paths = sorted(sdxl)
    marked = {}  # each layer has its number as its weight
    for name, place in _released(sdxl).items():
        marked[f"{name}.lora_down.weight"] = torch.zeros(1)
        marked[f"{name}.lora_up.weight"] = torch.tensor([paths.index(place.path)])
    converted, _ = SdxlLoader.lora_state_dict(marked, unet_config=unet.config)
    bare = {name.removeprefix("unet."): number for name, number in converted.items()}
    theirs = {
        name.removesuffix(".lora_B.weight"): paths[int(number)]
        for name, number in convert_unet_state_dict_to_peft(bare).items()
        if name.endswith(".lora_B.weight")
    }
    assert theirs == {path: path for path in paths}


@pytest.mark.parametrize("name", SDXL_KNOWN)
def test_known_layers_of_sdxl_have_known_names_and_shapes(sdxl: Layers, name: str) -> None:
    path, down, up = SDXL_KNOWN[name]
    (place,) = table_of(Family.SDXL, {"unet": sdxl})[name]
    assert (place.path, place.shape.down(4), place.shape.up(4)) == (path, down, up)


@pytest.mark.parametrize("prefix", ["", "unet.", "lora_unet_", "diffusion_model."])
def test_a_whole_file_of_diffusers_names_is_every_layer(sdxl: Layers, prefix: str) -> None:
    shapes: Shapes = {}
    for path, shape in sdxl.items():
        name = flat(path) if prefix == "lora_unet_" else path
        shapes |= _shapes(prefix + name, [Place("unet", path, shape)], 4)
    assert _paths(shapes, Family.SDXL, "unet", sdxl) == sorted(sdxl)


def test_no_two_layers_share_a_name(sdxl: Layers, flux: Layers) -> None:
    for layers in (sdxl, flux):
        assert len({flat(path) for path in layers}) == len(layers)


@pytest.mark.parametrize("name", FLUX_KNOWN)
@pytest.mark.parametrize("prefix", ["", "lora_unet_", "diffusion_model.", "base_model.model."])
def test_known_layers_of_flux_have_known_names_and_shapes(
    flux: Layers, name: str, prefix: str
) -> None:
    paths, inputs, outputs = FLUX_KNOWN[name]
    places = table_of(Family.FLUX, {"transformer": flux})[flat(prefix + name)]
    assert tuple(place.path for place in places) == paths
    assert {place.shape.inputs for place in places} == {inputs}
    assert sum(place.shape.outputs for place in places) == outputs


def test_a_whole_file_of_bfl_names_is_every_layer_of_flux(flux: Layers) -> None:
    shapes: Shapes = {}
    for name, places in _bfl(flux).items():
        shapes |= _shapes(f"diffusion_model.{name}", places, 4)
    # 19 double blocks of 10, 38 single ones of 3, and 10 around them.
    assert len(shapes) == 3 * (19 * 10 + 38 * 3 + 10)
    assert _paths(shapes, Family.FLUX, "transformer", flux) == sorted(flux)


@pytest.mark.parametrize("prefix", ["transformer.", "lora_transformer_"])
def test_a_whole_file_of_diffusers_names_is_every_layer_of_flux(flux: Layers, prefix: str) -> None:
    shapes: Shapes = {}
    for path, shape in flux.items():
        name = path if prefix.endswith(".") else flat(path)
        shapes |= _shapes(prefix + name, [Place("transformer", path, shape)], 4)
    assert _paths(shapes, Family.FLUX, "transformer", flux) == sorted(flux)


def test_blocks_of_flux_are_what_diffusers_makes_of_them(flux: Layers) -> None:
    """Its converter knows FLUX.1's widths by heart, so what it splits must have them."""
    tensors = {}
    expected = {}
    for name, places in _bfl(flux).items():
        if "blocks" not in name:
            continue
        base = "lora_unet_" + flat(name)
        outputs = sum(place.shape.outputs for place in places)
        up = torch.arange(outputs, dtype=torch.float32)[:, None]
        tensors[f"{base}.lora_down.weight"] = torch.ones(1, 1)  # it never looks at the inputs
        tensors[f"{base}.lora_up.weight"] = up
        for place in places:
            expected[place.path] = up[place.outputs or slice(None)]
    theirs = _convert_kohya_flux_lora_to_diffusers(tensors)
    ups = {
        name.removeprefix("transformer.").removesuffix(".lora_B.weight"): up
        for name, up in theirs.items()
        if name.endswith(".lora_B.weight")
    }
    assert ups.keys() == expected.keys()
    assert all(torch.equal(ups[path], up) for path, up in expected.items())


def _bfl(flux: Layers) -> dict[str, list[Place]]:
    table = table_of(Family.FLUX, {"transformer": flux})
    names = [
        *names_flux.fused(flux),
        *names_flux.swapped(flux),
        *(name for path in flux for name in names_flux.other_names(path)),
    ]
    return {name: list(table[flat(name)]) for name in names}


def _released(sdxl: Layers) -> dict[str, Place]:
    """Return kohya's names with the blocks of SDXL's first release."""
    marks = ("input_blocks", "middle_block", "output_blocks", "time_embed_", "label_emb", "out_2")
    names = tuple(f"lora_unet_{mark}" for mark in marks)
    return {
        name: places[0]
        for name, places in table_of(Family.SDXL, {"unet": sdxl}).items()
        if name.startswith(names) and "processor" not in name
    }
