"""The models' own tokenizer: byte-level pairs in CLIP's form, learned from the world's captions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from training.storybook.books import Book

MERGES = 700
CAPTIONS = 12_000
WORD_END = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
Pair = tuple[str, str]
Symbols = tuple[str, ...]


def build_tokenizer(book: Book, captions: int = CAPTIONS) -> CLIPTokenizer:
    """Return a book's tokenizer; a word it never saw falls apart into letters, not "unknown"."""
    merges = learn_merges((book.caption(i, i) for i in range(captions)), MERGES)
    letters = list(_byte_letters().values())
    tokens = [*letters, *(letter + WORD_END for letter in letters), *map("".join, merges)]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*tokens, START, END]))}
    pairs: list[Any] = [*merges]  # its annotation says strings, it wants pairs
    return CLIPTokenizer(
        vocab=vocabulary, merges=pairs, model_max_length=book.max_tokens, pad_token=END
    )


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write it in the new form and in the classic two files that other programs read."""
    tokenizer.save_pretrained(folder)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
    lines = ("#version: 0.2", *(" ".join(pair) for pair in model["merges"]))
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")


def learn_merges(captions: Iterable[str], limit: int) -> tuple[Pair, ...]:
    """Return the pairs to join, most frequent first, until every word is one token or `limit`.

    Source: Sennrich et al. 2016, arXiv:1508.07909.
    """
    counts = Counter(w for text in captions for w in re.findall(r"[a-z]+|[^\sa-z]+", text.lower()))
    words = {(*word[:-1], word[-1] + WORD_END): count for word, count in counts.items()}
    merges: list[Pair] = []
    while len(merges) < limit:
        pairs = Counter[Pair]()
        for symbols, count in words.items():
            for pair in pairwise(symbols):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = {_joined(symbols, best): count for symbols, count in words.items()}
    return tuple(merges)


def _joined(symbols: Symbols, pair: Pair) -> Symbols:
    joined: list[str] = []
    for symbol in symbols:
        if joined and (joined[-1], symbol) == pair:
            joined[-1] += symbol
        else:
            joined.append(symbol)
    return tuple(joined)


def _byte_letters() -> dict[int, str]:
    """Return a printable letter for every byte, as GPT-2 and CLIP write them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in plain)
    letters = {byte: chr(byte) for byte in plain}
    return letters | {byte: chr(256 + i) for i, byte in enumerate(others)}
