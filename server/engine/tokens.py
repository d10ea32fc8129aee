"""Small tokenizers made in code: CLIP's byte-pair encoding and T5's unigrams, nothing fetched."""

from __future__ import annotations

import itertools
import math
import string
from collections import Counter

from transformers import CLIPTokenizer, T5Tokenizer

_END_OF_WORD = "</w>"
_SUBJECTS = ("bear", "cat", "rabbit", "robot", "frog", "fox", "dragon", "girl", "boy", "knight")
_COLOURS = ("red", "blue", "green", "yellow", "purple", "white", "black", "orange", "brown")
_PLACES = ("forest", "city", "snow", "desert", "kitchen", "garden", "castle", "beach", "library")
_STYLES = ("watercolor", "pencil sketch", "oil painting", "photo", "illustration", "anime")


def captions() -> list[str]:
    """Return the sentences whose letters and words the vocabularies are counted from."""
    return [
        f"a {colour} {subject} in the {place}, {style}"
        for colour, subject, place, style in itertools.product(
            _COLOURS, _SUBJECTS, _PLACES, _STYLES
        )
    ]


def clip_tokenizer(model_max_length: int = 77) -> CLIPTokenizer:
    """Return a CLIP tokenizer of about 700 tokens; unknown words fall apart into bytes."""
    merges = _merges(Counter(word for line in captions() for word in line.replace(",", "").split()))
    letters = list(_byte_letters().values())
    tokens = [
        *letters,
        *(letter + _END_OF_WORD for letter in letters),
        *("".join(pair) for pair in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(
        vocab=vocab,
        merges=merges,
        model_max_length=model_max_length,
        pad_token="<|endoftext|>",  # noqa: S106 - a token of text, not a secret
    )


def t5_tokenizer(model_max_length: int = 512) -> T5Tokenizer:
    """Return a T5 tokenizer over whole words and single letters, likelier words first."""
    words = Counter(word for line in captions() for word in line.split())
    total = sum(words.values())
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -6.0)]
    vocab += [(f"▁{word}", math.log(count / total)) for word, count in sorted(words.items())]
    vocab += [(letter, -12.0) for letter in string.printable[:94]]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=model_max_length)


def _byte_letters() -> dict[int, str]:
    """Return CLIP's own printable letter for every byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    others = (byte for byte in range(256) if byte not in letters)
    return letters | {byte: chr(256 + place) for place, byte in enumerate(others)}


def _merges(words: Counter[str]) -> list[tuple[str, str]]:
    """Return the pairs that byte-pair encoding joins, most frequent first."""
    spelt = {(*word[:-1], word[-1] + _END_OF_WORD): count for word, count in words.items()}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for letters, count in spelt.items():
            for pair in itertools.pairwise(letters):
                pairs[pair] += count
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        spelt = {_join(letters, best): count for letters, count in spelt.items()}


def _join(letters: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    joined: list[str] = []
    place = 0
    while place < len(letters):
        found = letters[place : place + 2] == pair
        joined.append("".join(pair) if found else letters[place])
        place += 2 if found else 1
    return tuple(joined)
