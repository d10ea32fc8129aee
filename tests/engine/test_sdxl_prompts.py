"""Long and weighed prompts of SDXL: compel's arithmetic in the pipelines' own embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from compel import CompelForSDXL
from diffusers import StableDiffusionXLPipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.errors import RequestRefusedError
from server.domain.prompt_weights import MAX_WEIGHT, Phrase
from server.engine.families import compel_prompts
from server.engine.families.base import Conditioning, Encoded
from server.engine.families.compel_prompts import TextPart
from server.engine.families.sdxl import SdxlFamily
from tests.engine import sdxl_reference
from tests.engine.drawing import begin, difference, finish, request

TOLERANCE = 1e-4
PASS = 77
LONG = "a red fox in the snow beside a blue castle " * 12
_PIECES = [
    "fox",
    " ",
    "red",
    ".and()",
    '"',
    "+",
    "--",
    ",",
    "!",
    "(",
    ")",
    "\\",
    "1.2",
    "\x85",
    "🦊",
]
_PIECES += ["<|endoftext|>", "<|startoftext|>", "\x1c", "snow. " * 40]


@pytest.fixture(scope="module")
def sdxl(model_folders: dict[str, Path]) -> StableDiffusionXLPipeline:
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        model_folders["sdxl"], dtype=torch.float32, add_watermarker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def parts(sdxl: StableDiffusionXLPipeline) -> list[TextPart]:
    return [
        TextPart(sdxl.tokenizer, sdxl.text_encoder),
        TextPart(sdxl.tokenizer_2, sdxl.text_encoder_2),
    ]


@pytest.mark.parametrize("clip_skip", [None, 1])
@pytest.mark.parametrize("text", ["a red fox", "", "a fox, (red) 1,000 times. Twice!"])
def test_compel_and_the_pipeline_read_a_plain_prompt_alike(
    sdxl: StableDiffusionXLPipeline, parts: list[TextPart], text: str, clip_skip: int | None
) -> None:
    ours = _compel(parts, [Phrase(text)], clip_skip)
    embeds, pooled = _pipelines(sdxl, text, clip_skip)
    assert difference(ours.prompt_embeds, embeds) < TOLERANCE
    assert difference(ours.pooled_prompt_embeds, pooled) < TOLERANCE


@pytest.mark.parametrize("text", ["a red fox", "a (red) fox", '"a fox".and("b")', "(a fox:1.0)"])
def test_a_plain_short_prompt_is_the_pipelines_bit_by_bit(
    sdxl: StableDiffusionXLPipeline, text: str
) -> None:
    encoded = _encode(sdxl, prompt=text)
    embeds, pooled = _pipelines(sdxl, "a fox" if text.endswith(":1.0)") else text, None)
    assert torch.equal(encoded.positive.prompt_embeds, embeds)
    assert torch.equal(encoded.positive.pooled_prompt_embeds, pooled)


def test_a_prompt_of_exactly_one_pass_is_the_pipelines(sdxl: StableDiffusionXLPipeline) -> None:
    longest = " ".join(["fox"] * (PASS - 2))
    embeds, _ = _pipelines(sdxl, longest, None)
    assert torch.equal(_encode(sdxl, prompt=longest).positive.prompt_embeds, embeds)
    longer = _encode(sdxl, prompt=f"{longest} fox").positive
    assert longer.prompt_embeds.shape[1] == 2 * PASS


def test_escaped_parentheses_are_text(sdxl: StableDiffusionXLPipeline) -> None:
    encoded = _encode(sdxl, prompt=r"a fox \(red:1.2\)")
    embeds, _ = _pipelines(sdxl, "a fox (red:1.2)", None)
    assert torch.equal(encoded.positive.prompt_embeds, embeds)


LATENTS: list[tuple[str, str, str | None, str | None]] = [
    # ours, compel's own spelling, the same for the negative prompt
    ("a (red:1.4) fox", "a (red)1.4 fox", "a hat", "a hat"),
    ("a (red:0.4) fox in the (snow:0)", "a (red)0.4 fox in the (snow)0", None, None),
    ("a (red (fox:1.5):1.2) cat", "a (red (fox)1.5)1.2 cat", "", ""),
    (LONG, LONG, "a (hat:1.3)", "a (hat)1.3"),
    (LONG, LONG, None, None),
    ("a fox", "a fox", LONG, LONG),
]


@pytest.mark.parametrize(("prompt", "theirs", "negative", "their_negative"), LATENTS)
@pytest.mark.parametrize("force_zeros", [True, False])
def test_pictures_are_those_of_the_pipeline_with_compels_embeddings(
    sdxl: StableDiffusionXLPipeline,
    prompt: str,
    theirs: str,
    negative: str | None,
    their_negative: str | None,
    *,
    force_zeros: bool,
) -> None:
    pipeline = StableDiffusionXLPipeline(
        **sdxl.components, force_zeros_for_empty_prompt=force_zeros, add_watermarker=False
    )
    asked = request(prompt=prompt, negative_prompt=negative)
    family = SdxlFamily(pipeline)
    row = begin(family, asked)
    finish(family, [row])
    zeros = negative is None and force_zeros
    embeds = _compels_own(pipeline, theirs, None if zeros else their_negative or "")
    expected = sdxl_reference.latents(pipeline, asked, prompt=None, negative_prompt=None, **embeds)
    assert difference(row.latents, expected) < TOLERANCE


def test_the_end_of_a_long_prompt_is_drawn(sdxl: StableDiffusionXLPipeline) -> None:
    for field in ("prompt", "negative_prompt"):
        one, other = (_drawn(sdxl, **{field: LONG + end}) for end in ("a cat", "a robot"))
        assert difference(one, other) > TOLERANCE


def test_clip_skip_reaches_long_prompts(sdxl: StableDiffusionXLPipeline) -> None:
    """Each pass is what the pipeline makes of its part, with the same layers left out."""
    sentence = " ".join(["red"] * 60) + " ."
    long = f"{sentence} {sentence}"
    encoded = _encode(sdxl, prompt=long, clip_skip=1).positive
    embeds, _ = _pipelines(sdxl, sentence, 1)
    for part in encoded.prompt_embeds.chunk(2, dim=1):
        assert difference(part, embeds) < TOLERANCE


def test_a_weight_moves_its_own_word_away_from_nothing(sdxl: StableDiffusionXLPipeline) -> None:
    nothing, _ = _pipelines(sdxl, "", None)
    plain = _encode(sdxl, prompt="a red fox").positive.prompt_embeds
    red = 2  # after the start token and "a"
    for weight in (1.5, 3.0):
        more = _encode(sdxl, prompt=f"a (red:{weight}) fox").positive.prompt_embeds
        changed = (more - plain).abs().amax(dim=(0, 2)) > TOLERANCE
        assert changed.nonzero().flatten().tolist() == [red]
        expected = nothing[:, red] + weight * (plain - nothing)[:, red]
        assert difference(more[:, red], expected) < TOLERANCE


def test_the_less_a_word_weighs_the_less_is_left_of_it(sdxl: StableDiffusionXLPipeline) -> None:
    plain = _encode(sdxl, prompt="a red fox").positive.prompt_embeds
    weights = (0.9, 0.5, 0.1, 0.0)
    away = [
        difference(_encode(sdxl, prompt=f"a (red:{weight}) fox").positive.prompt_embeds, plain)
        for weight in weights
    ]
    assert away == sorted(away)
    assert away[0] > TOLERANCE


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_a_bad_weight_names_the_prompt_it_stands_in(
    sdxl: StableDiffusionXLPipeline, field: str
) -> None:
    with pytest.raises(RequestRefusedError, match="'9' is no weight") as refused:
        _encode(sdxl, **{field: "a (fox:9)"})
    assert refused.value.parameter == field


def test_a_prompt_is_encoded_once_for_each_clip_skip(sdxl: StableDiffusionXLPipeline) -> None:
    family = SdxlFamily(sdxl)
    with torch.inference_mode():
        first, again, other = (
            family.encode(request(prompt="a (red:1.2) fox", clip_skip=skip)).positive
            for skip in (None, None, 1)
        )
    assert first is again
    assert not torch.equal(first.prompt_embeds, other.prompt_embeds)


def test_half_precision_stays_half_precision(model_folders: dict[str, Path]) -> None:
    half = StableDiffusionXLPipeline.from_pretrained(
        model_folders["sdxl"], dtype=torch.bfloat16, add_watermarker=False
    )
    encoded = _encode(half, prompt="a (red:1.2) fox", negative_prompt=LONG)
    for row in encoded.rows:
        assert row.prompt_embeds.dtype == row.pooled_prompt_embeds.dtype == torch.bfloat16


_TEXTS = st.lists(st.sampled_from(_PIECES), max_size=6).map("".join)
_PHRASES = st.lists(st.builds(Phrase, _TEXTS, st.floats(0, MAX_WEIGHT)), max_size=5)


@settings(max_examples=60, deadline=None)
@given(phrases=_PHRASES)
def test_any_phrases_become_whole_passes(parts: list[TextPart], phrases: list[Phrase]) -> None:
    encoded = _compel(parts, phrases, None)
    assert encoded.prompt_embeds.shape[1] % PASS == 0
    assert torch.isfinite(encoded.prompt_embeds).all()


@settings(max_examples=60, deadline=None)
@given(text=_TEXTS)
def test_no_text_is_an_operator(
    sdxl: StableDiffusionXLPipeline, parts: list[TextPart], text: str
) -> None:
    ours = _compel(parts, [Phrase(text)], None)
    embeds, pooled = _pipelines(sdxl, text, None)
    assert difference(ours.pooled_prompt_embeds, pooled) < TOLERANCE
    if parts[0].fits(text):
        assert difference(ours.prompt_embeds, embeds) < TOLERANCE


@torch.inference_mode()
def _encode(sdxl: StableDiffusionXLPipeline, **values: Any) -> Encoded:
    return SdxlFamily(sdxl).encode(request(**values))


@torch.inference_mode()
def _compel(parts: list[TextPart], phrases: list[Phrase], clip_skip: int | None) -> Conditioning:
    return compel_prompts.encode(parts, phrases, clip_skip)


@torch.inference_mode()
def _pipelines(
    sdxl: StableDiffusionXLPipeline, text: str, clip_skip: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    embeds, _, pooled, _ = sdxl.encode_prompt(
        prompt=text, device="cpu", do_classifier_free_guidance=False, clip_skip=clip_skip
    )
    return embeds, pooled


def _drawn(sdxl: StableDiffusionXLPipeline, **values: Any) -> torch.Tensor:
    family = SdxlFamily(sdxl)
    row = begin(family, request(num_inference_steps=2, **values))
    finish(family, [row])
    return row.latents


@torch.inference_mode()
def _compels_own(
    sdxl: StableDiffusionXLPipeline, prompt: str, negative: str | None
) -> dict[str, Any]:
    """Return the pipeline's arguments as compel gives them, from its own prompt language.

    The pooled embeddings are those of the words: compel reads its operators as words there.
    """
    given = CompelForSDXL(sdxl)(prompt, negative_prompt=negative)
    embeds = {"prompt_embeds": given.embeds, "pooled_prompt_embeds": _pooled(sdxl, prompt)}
    if negative is not None:
        embeds["negative_prompt_embeds"] = given.negative_embeds
        embeds["negative_pooled_prompt_embeds"] = _pooled(sdxl, negative)
    return embeds


def _pooled(sdxl: StableDiffusionXLPipeline, text: str) -> torch.Tensor:
    plain = "".join(letter for letter in text if letter not in "().0123456789")
    return _pipelines(sdxl, plain, None)[1]
