"""Attention layers of SDXL's and FLUX.1's networks, computing with a kernel of our choice.

`set_attention_backend` of diffusers changes nothing in a UNet and the whole process in a FLUX.1
transformer; a processor of each layer is the network's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor

from server.engine.attention.kernels import Kernel


class Site:
    """The attention layers of one network; they start with diffusers' own processors.

    Args:
        network: a UNet2DConditionModel or a FluxTransformer2DModel.
    """

    def __init__(self, network: Any) -> None:  # noqa: ANN401 - diffusers'
        self._network = network
        self._usual: dict[str, Any] = dict(network.attn_processors)
        self._kernel: Kernel | None = None

    @functools.cached_property
    def where(self) -> str:
        """What tells apart networks whose attention is measured each by itself."""
        layers = [layer for layer in self._network.modules() if hasattr(layer, "to_q")]
        widths = sorted({layer.to_q.out_features // layer.heads for layer in layers})
        number = str(self._network.dtype).removeprefix("torch.")
        heads = ", ".join(map(str, widths))
        return f"{type(self._network).__name__} in {number}, heads of {heads}"

    def use(self, kernel: Kernel | None) -> None:
        """Compute with `kernel` from now on; None: as diffusers does."""
        if kernel is self._kernel:
            return
        self._kernel = kernel
        processors = {
            name: usual if kernel is None else _processor(usual, kernel)
            for name, usual in self._usual.items()
        }
        self._network.set_attn_processor(processors)


def _processor(usual: object, kernel: Kernel) -> object:
    """Return a processor with `kernel` that does what `usual` does; an unknown one stays."""
    makers: dict[type, Callable[..., object]] = {
        AttnProcessor2_0: UnetProcessor,
        FluxAttnProcessor: FluxProcessor,
    }
    maker = makers.get(type(usual))
    return usual if maker is None else maker(kernel)


class UnetProcessor:
    """Attention of a UNet's transformer blocks, within the picture or towards the prompt."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def __call__(
        self,
        attn: Any,  # noqa: ANN401 - diffusers' layer
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See AttnProcessor2_0; what the blocks of SDXL never have is left to it."""
        if attention_mask is not None or hidden_states.ndim != 3 or _is_special(attn):
            usual: torch.Tensor = AttnProcessor2_0()(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb
            )
            return usual
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            layer(tokens).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, tokens in ((attn.to_q, hidden_states), (attn.to_k, seen), (attn.to_v, seen))
        )
        mixed = self._kernel(query, key, value).transpose(1, 2).flatten(2)
        written: torch.Tensor = attn.to_out[1](attn.to_out[0](mixed))
        scale: float = attn.rescale_output_factor
        return written / scale


class FluxProcessor:
    """Joint attention of FLUX.1: text before picture, each with its own projections."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def __call__(
        self,
        attn: Any,  # noqa: ANN401 - diffusers' layer
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """See FluxAttnProcessor, which does what has a mask or joined projections."""
        if attention_mask is not None or attn.fused_projections:
            usual: torch.Tensor = FluxAttnProcessor()(
                attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb
            )
            return usual
        query, key, value = _of_picture(attn, hidden_states)
        if encoder_hidden_states is not None:
            text = _of_text(attn, encoder_hidden_states)
            query, key, value = (
                torch.cat(pair, dim=1) for pair in zip(text, (query, key, value), strict=True)
            )
        if image_rotary_emb is not None:
            query = apply_rotary_emb(query, image_rotary_emb, sequence_dim=1)
            key = apply_rotary_emb(key, image_rotary_emb, sequence_dim=1)
        turned = (each.transpose(1, 2) for each in (query, key, value))
        mixed = self._kernel(*turned).transpose(1, 2).flatten(2).to(query.dtype)
        if encoder_hidden_states is None:
            return mixed
        words = encoder_hidden_states.shape[1]
        picture = attn.to_out[1](attn.to_out[0](mixed[:, words:].contiguous()))
        return picture, attn.to_add_out(mixed[:, :words].contiguous())


Projected = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Query, key and value, each (rows, tokens, heads, channels)."""


def _of_picture(attn: Any, tokens: torch.Tensor) -> Projected:  # noqa: ANN401 - diffusers' layer
    query, key, value = (
        layer(tokens).unflatten(-1, (-1, attn.head_dim))
        for layer in (attn.to_q, attn.to_k, attn.to_v)
    )
    return attn.norm_q(query), attn.norm_k(key), value


def _of_text(attn: Any, tokens: torch.Tensor) -> Projected:  # noqa: ANN401 - diffusers' layer
    query, key, value = (
        layer(tokens).unflatten(-1, (-1, attn.head_dim))
        for layer in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
    )
    return attn.norm_added_q(query), attn.norm_added_k(key), value


def _is_special(attn: Any) -> bool:  # noqa: ANN401 - diffusers' layer
    has = (attn.group_norm, attn.spatial_norm, attn.norm_q, attn.norm_k, attn.norm_cross)
    return any(has) or attn.residual_connection
