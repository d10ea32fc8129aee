"""Names of a UNet's layers in SDXL's first release, as kohya and ComfyUI have them.

The blocks are numbered through: a resnet, its attention and a sampler share a number in
`input_blocks`, `middle_block` and `output_blocks`. Source: the configuration of the release,
sd_xl_base.yaml of Stability-AI/generative-models.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

_WHOLE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_IN_RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}


def other_names(path: str, paths: Container[str]) -> Iterable[str]:
    """Yield the names beside `path` itself, one of `paths`, that files have for that layer."""
    if ".attn" in path:  # diffusers' names of 2023
        block, _, layer = path.rpartition(".to_")
        yield f"{block}.processor.to_{layer.removesuffix('.0')}"
    if path in _WHOLE:
        yield _WHOLE[path]
        return
    kind, _, rest = path.partition(".")
    if kind == "mid_block":
        part, number, inner = rest.split(".", 2)
        place = 2 * int(number) + (part == "attentions")
        yield f"middle_block.{place}.{_IN_RESNET.get(inner, inner)}"
    elif kind in ("down_blocks", "up_blocks"):
        yield _in_block(kind, rest, paths)


def _in_block(kind: str, rest: str, paths: Container[str]) -> str:
    block, part, number, inner = rest.split(".", 3)
    first = _first(kind, int(block), paths)
    last = first + _resnets(kind, block, paths) - 1
    match part:
        case "downsamplers":
            return f"input_blocks.{last + 1}.0.op"
        case "upsamplers":
            return f"output_blocks.{last}.{1 + _has_attention(block, paths)}.conv"
    theirs = "input_blocks" if kind == "down_blocks" else "output_blocks"
    place = first + int(number)
    return f"{theirs}.{place}.{int(part == 'attentions')}.{_IN_RESNET.get(inner, inner)}"


def _first(kind: str, block: int, paths: Container[str]) -> int:
    """Return the number of the block's first resnet; `conv_in` is number 0 of the input."""
    if kind == "up_blocks":
        return sum(_resnets(kind, str(before), paths) for before in range(block))
    # Every down block before another one ends in a downsampler, which has its own number.
    return 1 + sum(_resnets(kind, str(before), paths) + 1 for before in range(block))


def _resnets(kind: str, block: str, paths: Container[str]) -> int:
    number = 0
    while f"{kind}.{block}.resnets.{number}.conv1" in paths:
        number += 1
    return number


def _has_attention(block: str, paths: Container[str]) -> bool:
    return f"up_blocks.{block}.attentions.0.proj_in" in paths
