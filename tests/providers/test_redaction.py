"""A service that repeats the key repeats nothing, however it writes it."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.providers.redaction import Redaction

KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)
WRITERS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": json.dumps,
    "json in json": lambda key: json.dumps(json.dumps({"sent": key})),
    "json with slashes": lambda key: json.dumps(key).replace("/", "\\/"),
    "html": html.escape,
    "url": lambda key: quote(key, safe=""),
}


@pytest.mark.parametrize("writer", WRITERS)
@given(key=KEYS)
def test_the_key_is_gone_in_every_writing(writer: str, key: str) -> None:
    said = f"Incorrect: {WRITERS[writer](key)}, {WRITERS[writer](key)}."
    redaction = Redaction(key)
    for left in (redaction.text(said), redaction.body(said.encode()).decode()):
        assert key not in left
        assert WRITERS[writer](key).strip('"') not in left
        assert left.count("[key]") == 2


def test_without_a_key_nothing_is_touched() -> None:
    assert Redaction(None).text("as it was") == "as it was"
    assert Redaction(None).body(b"\xff\x00") == b"\xff\x00"


def test_a_key_of_a_letter_leaves_what_is_parsed_as_it_was() -> None:
    redaction = Redaction("1")
    assert redaction.data('{"index":1}') == '{"index":1}'
    assert redaction.body(b'{"index":1}') == b'{"index":1}'
    assert redaction.text("wrong key 1") == "wrong key [key]"
