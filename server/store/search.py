"""Words of prompts: one port, two implementations, the same answers.

Case and accents do not count, nothing is stemmed, and a word of a query finds the words that
begin with it. Folding happens here for both databases, so neither's own rules come in.
"""

from __future__ import annotations

import unicodedata
from typing import Protocol

from sqlalchemy import TextClause, text

from server.store.database import Transaction

_LONGEST_WORD = 100  # longer ones are cut, in prompts and queries alike
_MOST_WORDS = 32  # of a query


def words(prose: str) -> tuple[str, ...]:
    """Return the folded words of `prose`: runs of letters and digits of any script."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", prose).casefold())
    kept = (_folded(letter) for letter in folded)
    return tuple(word[:_LONGEST_WORD] for word in "".join(kept).split())


def _folded(letter: str) -> str:
    kind = unicodedata.category(letter)
    if kind == "Mn":
        return ""  # an accent
    return letter if kind[0] in "LN" or kind == "Mc" else " "


class PromptWords(Protocol):
    """The index of prompts."""

    def add(self, transaction: Transaction, image_id: str, prompt: str) -> None:
        """Take in a new picture's prompt."""
        ...

    def remove(self, transaction: Transaction, image_id: str) -> None:
        """Forget a picture that is deleted in the same transaction."""
        ...

    def condition(self, query: str) -> TextClause | None:
        """Return the condition on images that `query` is; None: it has no words, all match."""
        ...


class SqliteWords:
    """FTS5. The id is a word of the index too, so that a row is found again without a scan."""

    def add(self, transaction: Transaction, image_id: str, prompt: str) -> None:
        """See PromptWords."""
        statement = text("INSERT INTO image_words (image_id, words) VALUES (:id, :words)")
        transaction.execute(statement.bindparams(id=image_id, words=" ".join(words(prompt))))

    def remove(self, transaction: Transaction, image_id: str) -> None:
        """See PromptWords."""
        statement = text(
            "DELETE FROM image_words WHERE rowid IN"
            " (SELECT rowid FROM image_words WHERE image_words MATCH :id)"
        )
        transaction.execute(statement.bindparams(id=f'image_id : "{image_id}"'))

    def condition(self, query: str) -> TextClause | None:
        """See PromptWords."""
        asked = words(query)[:_MOST_WORDS]
        if not asked:
            return None
        condition = text(
            "images.id IN (SELECT image_id FROM image_words WHERE image_words MATCH :words)"
        )
        match = " AND ".join(f'"{word}" *' for word in asked)
        return condition.bindparams(words=f"words : ({match})")


class PostgresWords:
    """tsvector, built from our words as they are: PostgreSQL's own parser stays out."""

    def add(self, transaction: Transaction, image_id: str, prompt: str) -> None:
        """See PromptWords."""
        statement = text(
            "INSERT INTO image_words (image_id, words)"
            " VALUES (:id, array_to_tsvector(CAST(:words AS text[])))"
        )
        transaction.execute(statement.bindparams(id=image_id, words=sorted(set(words(prompt)))))

    def remove(self, transaction: Transaction, image_id: str) -> None:
        """Do nothing: the row goes with its image's."""

    def condition(self, query: str) -> TextClause | None:
        """See PromptWords."""
        asked = words(query)[:_MOST_WORDS]
        if not asked:
            return None
        condition = text(
            "images.id IN (SELECT image_id FROM image_words WHERE words @@ CAST(:words AS tsquery))"
        )
        return condition.bindparams(words=" & ".join(f"'{word}':*" for word in asked))


def prompt_words(dialect: str) -> PromptWords:
    """Return the index's implementation for a database."""
    return PostgresWords() if dialect == "postgresql" else SqliteWords()
