from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.errors import RequestRefusedError
from server.domain.prompt_weights import Phrase, parse, words

# What people type, and what other programs' prompt languages make something of.
_BITS = (
    "+",
    "-",
    "++",
    '"',
    ",",
    ".",
    ".and()",
    ".blend(1, 2)",
    ".swap(cat)",
    ").attend(",
    "[",
    "]",
)
_WORDS = st.sampled_from([*_BITS, "fox", " ", "withLora(x)", "BREAK", "|", "=", "\\", "{", "1.2"])
ORDINARY = st.one_of(st.text(), st.lists(_WORDS, max_size=12).map("".join))


@pytest.mark.parametrize(
    ("prompt", "phrases"),
    [
        ("a red fox", [("a red fox", 1)]),
        ("a (red:1.3) fox", [("a ", 1), ("red", 1.3), (" fox", 1)]),
        ("(red fox: .5 )", [("red fox", 0.5)]),
        ("(a (red:1.5) fox:2)", [("a ", 2), ("red", 3), (" fox", 2)]),
        ("(16:9 screen:0.5)", [("16:9 screen", 0.5)]),
        ("(plain) ((text))", [("(plain) ((text))", 1)]),
        ("((red:1.2))", [("(", 1), ("red", 1.2), (")", 1)]),
        (r"\(red:1.2\)", [("(red:1.2)", 1)]),
        (r"(a \(big\) fox:2)", [("a (big) fox", 2)]),
        ("(note: a fox) (:3) :) ( :D", [("(note: a fox) (:3) :) ( :D", 1)]),
        ("red) fox (in: snow", [("red) fox (in: snow", 1)]),
        ("(subaru from re:zero) (fox:much)", [("(subaru from re:zero) (fox:much)", 1)]),
        ("(red:1) fox", [("red fox", 1)]),
        ("(red:0)", [("red", 0)]),
        ("", []),
    ],
)
def test_a_prompt_falls_into_phrases(prompt: str, phrases: list[tuple[str, float]]) -> None:
    assert parse(prompt, "prompt") == tuple(Phrase(*phrase) for phrase in phrases)


@pytest.mark.parametrize("weight", ["1,2", "1.2.3", "3.1", "-1", "+4", "16"])
def test_what_is_no_weight_is_refused_by_name(weight: str) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        parse(f"a (fox:{weight})", "negative_prompt")
    assert refused.value.parameter == "negative_prompt"
    assert f"'{weight}'" in refused.value.detail
    assert "from 0 to 3" in refused.value.detail


@settings(max_examples=100, deadline=None)
@given(ORDINARY)
def test_ordinary_text_stays_one_phrase(text: str) -> None:
    without = text.replace(":", ";").replace("\\", "/")
    assert parse(without, "prompt") == ((Phrase(without),) if without else ())


@settings(max_examples=100, deadline=None)
@given(ORDINARY)
def test_escaped_parentheses_are_always_text(text: str) -> None:
    escaped = text.replace("(", r"\(").replace(")", r"\)")
    assert words(parse(escaped, "prompt")) == text
    assert all(phrase.weight == 1 for phrase in parse(escaped, "prompt"))


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="()\\:.1 a+-", max_size=60))
def test_no_prompt_is_met_with_anything_but_phrases_or_a_refusal(text: str) -> None:
    try:
        phrases = parse(text, "prompt")
    except RequestRefusedError:
        return
    assert all(phrase.text and phrase.weight >= 0 for phrase in phrases)
