"""SDXL's prompts: as the pipelines encode them, and through compel where they cannot."""

from __future__ import annotations

import torch
from diffusers import StableDiffusionXLPipeline

from server.domain.errors import RequestRefusedError
from server.domain.images import ResolvedRequest
from server.domain.prompt_weights import parse, words
from server.engine.adapters.cast import Cast
from server.engine.adapters.mix import Mix
from server.engine.families import compel_prompts
from server.engine.families.base import Conditioning, Encoded
from server.engine.families.compel_prompts import TextPart
from server.engine.families.prompts import PromptCache
from server.engine.weights import PipelineWeights


class SdxlPrompts:
    """The text encoders of one SDXL checkpoint, and the last prompts they read."""

    def __init__(
        self, pipeline: StableDiffusionXLPipeline, cast: Cast, weights: PipelineWeights
    ) -> None:
        self._pipeline = pipeline
        self._cast = cast
        self._weights = weights
        self._cache = PromptCache()
        pairs = (
            (pipeline.tokenizer, pipeline.text_encoder),
            (pipeline.tokenizer_2, pipeline.text_encoder_2),
        )
        self._parts = [TextPart(*pair) for pair in pairs if pair[0] is not None]

    def encode(self, request: ResolvedRequest, *, guided: bool, mix: Mix) -> Encoded:
        """Return the prompts of equal length; only a guided request has a negative one.

        Raises:
            RequestRefusedError: clip_skip leaves no layer, or a weight is none.
        """
        self._check_clip_skip(request.clip_skip)
        positive = self._conditioning(request.prompt, "prompt", request.clip_skip, mix)
        if not guided:
            return Encoded(positive, None)
        if request.negative_prompt is None and self._pipeline.config.force_zeros_for_empty_prompt:
            return Encoded(positive, _zeros_like(positive))
        # As in the pipelines, clip_skip is for the prompt alone.
        negative = self._conditioning(request.negative_prompt or "", "negative_prompt", None, mix)
        tokens = max(each.prompt_embeds.shape[1] for each in (positive, negative))
        return Encoded(
            self._padded(positive, tokens, request.clip_skip, mix),
            self._padded(negative, tokens, None, mix),
        )

    def forget(self) -> None:
        """Let go of what was read."""
        self._cache.clear()

    def _check_clip_skip(self, clip_skip: int | None) -> None:
        most = min(part.encoder.config.num_hidden_layers for part in self._parts) - 1
        if clip_skip is not None and clip_skip > most:
            raise RequestRefusedError(
                f"clip_skip {clip_skip} leaves no layer of this model's text encoders; "
                f"it takes at most {most}",
                parameter="clip_skip",
            )

    def _conditioning(
        self, text: str, parameter: str, clip_skip: int | None, mix: Mix
    ) -> Conditioning:
        def encode() -> Conditioning:
            with self._weights.encoders.here(), self._cast.reading(mix):
                return self._encoded(text, parameter, clip_skip)

        return self._cache.get((text, clip_skip, self._cast.key(mix)), encode)

    def _encoded(self, text: str, parameter: str, clip_skip: int | None) -> Conditioning:
        phrases = parse(text, parameter)
        plain = words(phrases)
        weighed = any(phrase.weight != 1.0 for phrase in phrases)
        device = self._weights.device
        if weighed or not all(part.fits(plain) for part in self._parts):
            encoded = compel_prompts.encode(self._parts, phrases, clip_skip)
            return Conditioning(
                encoded.prompt_embeds.to(device), encoded.pooled_prompt_embeds.to(device)
            )
        embeds, _, pooled, _ = self._pipeline.encode_prompt(
            prompt=plain,
            device=device,
            do_classifier_free_guidance=False,
            clip_skip=clip_skip,
        )
        return Conditioning(embeds, pooled)

    def _padded(
        self, encoded: Conditioning, tokens: int, clip_skip: int | None, mix: Mix
    ) -> Conditioning:
        if encoded.prompt_embeds.shape[1] == tokens:
            return encoded
        empty = self._conditioning("", "prompt", clip_skip, mix).prompt_embeds
        longer = compel_prompts.pad(encoded.prompt_embeds, empty, tokens)
        return Conditioning(longer, encoded.pooled_prompt_embeds)


def _zeros_like(conditioning: Conditioning) -> Conditioning:
    return Conditioning(
        torch.zeros_like(conditioning.prompt_embeds),
        torch.zeros_like(conditioning.pooled_prompt_embeds),
    )
