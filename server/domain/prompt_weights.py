r"""How a prompt says what matters more: `a (red:1.3) fox`; free of torch.

Parentheses that end in a colon and a number weigh what they hold; they may be nested, and then the
weights multiply. All other parentheses are text as people write it, as are `\(` and `\)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server.domain.errors import RequestRefusedError

MAX_WEIGHT = 3.0

_MARKS = re.compile(r"\\[()]|[()]")
_ENDING = re.compile(r":\s*([+-]?[\d.,]*\d[\d.,]*)\s*$")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A part of a prompt, and how much it matters: 1 is plain, 0 leaves it out."""

    text: str
    weight: float = 1.0


def parse(prompt: str, parameter: str) -> tuple[Phrase, ...]:
    """Return the phrases of `prompt` in order; their texts together are the prompt without weights.

    Args:
        prompt: as it was asked.
        parameter: what it was given as, for the message of an error.

    Raises:
        RequestRefusedError: what stands where a weight belongs is no number from 0 to MAX_WEIGHT.
    """
    levels: list[list[Phrase]] = [[]]
    place = 0
    for mark in _MARKS.finditer(prompt):
        _add(levels[-1], [Phrase(prompt[place : mark.start()])])
        place = mark.end()
        if mark[0] == "(":
            levels.append([])
        elif mark[0] == ")" and len(levels) > 1:
            inside = levels.pop()
            _add(levels[-1], _closed(inside, parameter))
        else:
            _add(levels[-1], [Phrase(mark[0].removeprefix("\\"))])
    _add(levels[-1], [Phrase(prompt[place:])])
    while len(levels) > 1:  # opened and never closed: text
        inside = levels.pop()
        _add(levels[-1], [Phrase("("), *inside])
    return tuple(levels[0])


def words(phrases: Iterable[Phrase]) -> str:
    """Return the prompt that `phrases` are, without its weights."""
    return "".join(phrase.text for phrase in phrases)


def _closed(inside: Sequence[Phrase], parameter: str) -> list[Phrase]:
    """Return what one pair of parentheses comes to: weighed, or as the text that it is."""
    as_text = [Phrase("("), *inside, Phrase(")")]
    if not inside or inside[-1].weight != 1.0:
        return as_text
    ending = _ENDING.search(inside[-1].text)
    if ending is None:
        return as_text
    held = [*inside[:-1], Phrase(inside[-1].text[: ending.start()])]
    if not words(held).strip():
        return as_text  # a smiling (:3), which weighs nothing
    weight = _weight(ending[1], parameter)
    return [Phrase(phrase.text, phrase.weight * weight) for phrase in held]


def _weight(written: str, parameter: str) -> float:
    weight = float(written) if _NUMBER.fullmatch(written) else -1.0
    if not 0 <= weight <= MAX_WEIGHT:
        raise RequestRefusedError(
            f"'{written}' is no weight; write a number from 0 to {MAX_WEIGHT:g}, as in (fox:1.2), "
            r"or \( and \) for parentheses that are text",
            parameter=parameter,
        )
    return weight


def _add(phrases: list[Phrase], more: Iterable[Phrase]) -> None:
    """Append `more`; plain text stays in one piece, so that no word is cut."""
    for phrase in more:
        if not phrase.text:
            continue
        if phrases and phrases[-1].weight == phrase.weight == 1.0:
            phrases[-1] = Phrase(phrases[-1].text + phrase.text)
        else:
            phrases.append(phrase)
