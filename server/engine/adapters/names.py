"""By what names files know the layers of a network.

The table is made from the network, never guessed from a file: what is not in it is no layer of
this network. Dots and underscores count the same, as kohya's names have underscores for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from server.domain.models import Family
from server.engine.adapters import names_flux, names_sdxl
from server.engine.adapters.layers import LayerShape

_PREFIXES: Mapping[tuple[Family, str], tuple[str, ...]] = {
    (Family.SDXL, "unet"): (
        "",
        "unet.",
        "lora_unet_",
        "diffusion_model.",
        "base_model.model.",
        "base_model.model.unet.",
    ),
    (Family.FLUX, "transformer"): (
        "",
        "transformer.",
        "lora_transformer_",
        "lora_unet_",
        "diffusion_model.",
        "base_model.model.",
        "base_model.model.transformer.",
    ),
    (Family.SDXL, "text_encoder"): (
        "text_encoder.",
        "lora_te_",
        "lora_te1_",
        "text_encoders.clip_l.transformer.",
    ),
    (Family.SDXL, "text_encoder_2"): (
        "text_encoder_2.",
        "lora_te2_",
        "text_encoders.clip_g.transformer.",
    ),
    (Family.FLUX, "text_encoder"): (
        "text_encoder.",
        "lora_te_",
        "lora_te1_",
        "text_encoders.clip_l.transformer.",
    ),
    (Family.FLUX, "text_encoder_2"): (
        "text_encoder_2.",
        "lora_te2_",
        "lora_te3_",
        "text_encoders.t5xxl.transformer.",
    ),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A layer of the network, or what a file's fused layer is of it.

    Attributes:
        outputs: which outputs of the file's layer are this layer's; None: all.
        swapped: the file has the two halves of the outputs in the other order.
    """

    component: str
    path: str
    shape: LayerShape
    outputs: slice | None = None
    swapped: bool = False


Table = Mapping[str, Sequence[Place]]
"""By the name in a file, `flat`; several places for a fused layer."""


def flat(name: str) -> str:
    """Return `name` as the table has it."""
    return name.replace(".", "_")


def table_of(family: Family, networks: Mapping[str, Mapping[str, LayerShape]]) -> Table:
    """Return all names of the layers of `networks`, by component."""
    table: dict[str, Sequence[Place]] = {}
    for component, layers in networks.items():
        for name, places in _spelled(family, component, layers):
            for prefix in _PREFIXES[family, component]:
                table[flat(prefix + name)] = places
    return table


def _spelled(
    family: Family, component: str, layers: Mapping[str, LayerShape]
) -> Iterable[tuple[str, Sequence[Place]]]:
    for path, shape in layers.items():
        for name in (path, *_other_names(component, path, layers)):
            yield name, (Place(component, path, shape),)
    if component == "transformer":
        for name, paths in names_flux.fused(layers).items():
            yield name, _fused(component, paths, layers)
        for name, path in names_flux.swapped(layers).items():
            yield name, (Place(component, path, layers[path], swapped=True),)


def _other_names(component: str, path: str, layers: Mapping[str, LayerShape]) -> Iterable[str]:
    match component:
        case "unet":
            return names_sdxl.other_names(path, layers)
        case "transformer":
            return names_flux.other_names(path)
        case _:
            return _text_names(path)


def _text_names(path: str) -> Iterable[str]:
    """Yield the names with and without the module around all layers, which came and went."""
    bare = path.removeprefix("text_model.")
    for name in (bare, f"text_model.{bare}"):
        if name != path:
            yield name
        for part in ("q", "k", "v", "out"):  # diffusers' names of 2023
            if name.endswith(f".self_attn.{part}_proj"):
                yield f"{name.removesuffix(f'{part}_proj')}to_{part}"


def _fused(
    component: str, paths: Sequence[str], layers: Mapping[str, LayerShape]
) -> Sequence[Place]:
    places = []
    start = 0
    for path in paths:
        stop = start + layers[path].outputs
        places.append(Place(component, path, layers[path], slice(start, stop)))
        start = stop
    return places
