"""Prompts that no single pass of the text encoders can take: weighed words, and long texts.

Compel does the arithmetic. Its own prompt language is left out: it gets the phrases, so nothing
that people write in a prompt can be taken for an operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from compel import EmbeddingsProvider, ReturnedEmbeddingsType, SplitLongTextMode
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from server.domain.prompt_weights import Phrase, words
from server.engine.families.base import Conditioning


@dataclass(frozen=True, slots=True)
class TextPart:
    """One text encoder with its tokenizer. SDXL reads two side by side."""

    tokenizer: CLIPTokenizer
    encoder: CLIPTextModel | CLIPTextModelWithProjection

    def fits(self, text: str) -> bool:
        """Return whether one pass takes all of `text`."""
        tokens = self.tokenizer(text, truncation=False, verbose=False).input_ids
        return len(tokens) <= int(self.tokenizer.model_max_length)


def encode(
    parts: Sequence[TextPart], phrases: Sequence[Phrase], clip_skip: int | None
) -> Conditioning:
    """Return the prompt as the network reads it: a whole number of passes long, nothing cut.

    The pooled embedding knows no weights and has room for one pass: it is that of the prompt's
    beginning, as in every program that draws with SDXL.

    Args:
        parts: the text encoders; the pooled embedding is the last one's.
        phrases: of the prompt, in order.
        clip_skip: how many more layers to leave out, as the pipelines count them.
    """
    providers = [_provider(part, clip_skip or 0) for part in parts]
    embeds = [_embeds(provider, phrases) for provider in providers]
    longest = max(embed.shape[1] for embed in embeds)
    padded = [
        pad(embed, provider.empty_z, longest)
        for embed, provider in zip(embeds, providers, strict=True)
    ]
    pooled = providers[-1].get_pooled_embeddings([words(phrases)])
    return Conditioning(torch.cat(padded, dim=-1), pooled)


def pad(embeds: torch.Tensor, empty: torch.Tensor, tokens: int) -> torch.Tensor:
    """Return `embeds` followed by `empty` as often as makes it `tokens` long.

    Args:
        embeds: (1, a multiple of one pass, channels).
        empty: what one pass makes of the empty prompt, (1, one pass, channels).
        tokens: a multiple of one pass, at least as long as `embeds`.
    """
    missing = (tokens - embeds.shape[1]) // empty.shape[1]
    return torch.cat([embeds, empty.to(embeds.dtype).repeat(1, missing, 1)], dim=1)


class _Shallower:
    """A text encoder without its last layers: compel always reads the last but one."""

    def __init__(self, encoder: CLIPTextModel, skipped: int) -> None:
        self._encoder = encoder
        self._skipped = skipped
        self.device = encoder.device
        self.dtype = encoder.dtype

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the encoder's own
        output = self._encoder(*args, **kwargs)
        if output.hidden_states is not None:
            output.hidden_states = output.hidden_states[: -self._skipped or None]
        return output


def _provider(part: TextPart, skipped: int) -> EmbeddingsProvider:
    return EmbeddingsProvider(
        part.tokenizer,
        _Shallower(part.encoder, skipped),
        truncate=False,
        returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
        split_long_text_mode=SplitLongTextMode.SENTENCES,
    )


def _embeds(provider: EmbeddingsProvider, phrases: Sequence[Phrase]) -> torch.Tensor:
    # Compel cannot weigh what has no tokens, such as a space, and wants one phrase at least.
    said = [phrase for phrase in phrases if _tokens(provider, phrase.text)] or [Phrase("")]
    embeds: torch.Tensor = provider.get_embeddings_for_weighted_prompt_fragments(
        text_batch=[[phrase.text for phrase in said]],
        fragment_weights_batch=[[phrase.weight for phrase in said]],
        device=provider.device,
    )
    return embeds


def _tokens(provider: EmbeddingsProvider, text: str) -> list[int]:
    tokens: list[int] = provider.get_token_ids([text], include_start_and_end_markers=False)[0]
    return tokens
