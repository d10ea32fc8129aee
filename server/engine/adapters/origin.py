"""What network an adapter was made for, as far as its keys and shapes tell."""

from __future__ import annotations

from collections.abc import Mapping

from server.domain.errors import AdapterError
from server.domain.models import Family
from server.engine.adapters.names import flat

_CALLED: Mapping[Family, str] = {Family.SDXL: "SDXL", Family.FLUX: "FLUX"}
_MARKS: Mapping[str, tuple[str, ...]] = {
    _CALLED[Family.FLUX]: ("double_blocks_", "single_blocks_", "single_transformer_blocks_"),
    "Stable Diffusion 3": ("joint_blocks_",),
}
_UNET_MARKS = (
    "down_blocks_",
    "mid_block_",
    "up_blocks_",
    "input_blocks_",
    "middle_block_",
    "output_blocks_",
)
# By the width of the text that a UNet reads.
_UNETS: Mapping[int, str] = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x"}


def family_of(shapes: Mapping[str, tuple[int, ...]]) -> Family:
    """Return what family of models a file with tensors of `shapes` was made for.

    Raises:
        AdapterError: one that is not drawn here, or none that its names tell.
    """
    made_for = _made_for({flat(name): shape for name, shape in shapes.items()})
    for family, called in _CALLED.items():
        if called == made_for:
            return family
    if made_for is not None:
        raise AdapterError(f"this adapter is for {made_for}; those for SDXL and FLUX are taken")
    raise AdapterError(
        "its names are of no layers that draw, so nobody can tell its model's family"
    )


def check_family(shapes: Mapping[str, tuple[int, ...]], family: Family) -> None:
    """Raise AdapterError if a file with tensors of `shapes` was made for another family."""
    made_for = _made_for({flat(name): shape for name, shape in shapes.items()})
    if made_for not in (None, _CALLED[family]):
        raise AdapterError(f"this adapter is for {made_for}, the model is {_CALLED[family]}")


def _made_for(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    for made_for, marks in _MARKS.items():
        if any(mark in name for name in shapes for mark in marks):
            return made_for
    if not any(mark in name for name in shapes for mark in _UNET_MARKS):
        return None  # text encoders only, or nothing that is known here
    for name, shape in shapes.items():
        if "attn2_" in name and "to_k" in name and shape[1:2] and shape[1] in _UNETS:
            return _UNETS[shape[1]]
    return _CALLED[Family.SDXL]
