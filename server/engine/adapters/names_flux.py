"""Names of a FLUX.1 transformer's layers in its first release, as kohya, ComfyUI and BFL have them.

There the layers that read the same are fused: `qkv` is diffusers' q, k and v one after another, and
`linear1` of a single block its MLP, too. Source: the release's own modules/layers.py.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence

_WHOLE = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "proj_out": "final_layer.linear",
}
_IN_DOUBLE = {
    "attn.to_out.0": "img_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "norm1.linear": "img_mod.lin",
    "attn.to_add_out": "txt_attn.proj",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
    "norm1_context.linear": "txt_mod.lin",
}
_IN_SINGLE = {"proj_out": "linear2", "norm.linear": "modulation.lin"}
_FUSED_DOUBLE = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}
_FUSED_SINGLE = {"linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")}
_BLOCK = re.compile(r"(single_)?transformer_blocks\.(\d+)\.(.+)")


def other_names(path: str) -> Iterable[str]:
    """Yield the name beside `path` itself that files have for exactly that layer, if any."""
    if path in _WHOLE:
        yield _WHOLE[path]
    elif (block := _BLOCK.fullmatch(path)) is not None:
        single, number, inner = block.groups()
        if single and inner in _IN_SINGLE:
            yield f"single_blocks.{number}.{_IN_SINGLE[inner]}"
        elif not single and inner in _IN_DOUBLE:
            yield f"double_blocks.{number}.{_IN_DOUBLE[inner]}"


def fused(paths: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Return the names of fused layers, each with the layers of `paths` that it is, in order."""
    found: dict[str, Sequence[str]] = {}
    for path in paths:
        block = _BLOCK.fullmatch(path)
        if block is None:
            continue
        single, number, inner = block.groups()
        theirs = "single_blocks" if single else "double_blocks"
        for name, parts in (_FUSED_SINGLE if single else _FUSED_DOUBLE).items():
            if inner == parts[0]:
                outer = path.removesuffix(inner)
                found[f"{theirs}.{number}.{name}"] = [outer + part for part in parts]
    return found


def swapped(paths: Container[str]) -> Mapping[str, str]:
    """Return the names of layers whose outputs, shift and scale, diffusers has the other way."""
    path = "norm_out.linear"
    return {"final_layer.adaLN_modulation.1": path} if path in paths else {}
