"""Words in prompts: one small port, two implementations, the same rules.

Words are letters and digits, without case and accents; a query finds pictures whose prompt has,
for each of its words, one that begins so. No stemming.
"""

from __future__ import annotations

import unicodedata
from typing import Protocol

from sqlalchemy import ColumnElement, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.tables import images

_MAX_WORDS = 32  # of a query; more only cost time


def words(prompt: str) -> list[str]:
    """Return the folded words of `prompt`, in their order."""
    folded = unicodedata.normalize("NFKD", prompt.casefold())
    spaced = (
        letter if letter.isalnum() else " "
        for letter in folded
        if not unicodedata.combining(letter)
    )
    return "".join(spaced).split()


class Search(Protocol):
    """Finds pictures by the words of their prompts."""

    async def add(self, connection: AsyncConnection, image_id: str, prompt: str) -> None:
        """Index a picture within the open transaction."""
        ...

    async def remove(self, connection: AsyncConnection, image_id: str) -> None:
        """Forget a picture within the open transaction."""
        ...

    def condition(self, query: str) -> ColumnElement[bool] | None:
        """Return the condition on `images`, None when the query holds no word."""
        ...


class SqliteSearch:
    """FTS5."""

    async def add(self, connection: AsyncConnection, image_id: str, prompt: str) -> None:
        """Index a picture within the open transaction."""
        await connection.execute(
            text("INSERT INTO image_words (image_id, words) VALUES (:image_id, :words)"),
            {"image_id": image_id, "words": " ".join(words(prompt))},
        )

    async def remove(self, connection: AsyncConnection, image_id: str) -> None:
        """Forget a picture within the open transaction."""
        await connection.execute(
            text("DELETE FROM image_words WHERE image_id = :image_id"), {"image_id": image_id}
        )

    def condition(self, query: str) -> ColumnElement[bool] | None:
        """Return the condition on `images`, None when the query holds no word."""
        found = words(query)[:_MAX_WORDS]
        if not found:
            return None
        # Words hold letters and digits alone, so nothing in them can be an operator.
        match = " ".join(f'"{word}"*' for word in found)
        clause = text("SELECT image_id FROM image_words WHERE image_words MATCH :match")
        return images.c.id.in_(clause.bindparams(match=match).columns(images.c.id))


class PostgresSearch:
    """A tsvector of our own words: its parser, which would split them otherwise, is not asked."""

    async def add(self, connection: AsyncConnection, image_id: str, prompt: str) -> None:
        """Index a picture within the open transaction."""
        await connection.execute(
            text(
                "INSERT INTO image_words (image_id, words) "
                "VALUES (:image_id, array_to_tsvector(CAST(:words AS text[])))"
            ),
            {"image_id": image_id, "words": sorted(set(words(prompt)))},
        )

    async def remove(self, connection: AsyncConnection, image_id: str) -> None:
        """Forget a picture within the open transaction."""
        await connection.execute(
            text("DELETE FROM image_words WHERE image_id = :image_id"), {"image_id": image_id}
        )

    def condition(self, query: str) -> ColumnElement[bool] | None:
        """Return the condition on `images`, None when the query holds no word."""
        found = words(query)[:_MAX_WORDS]
        if not found:
            return None
        match = " & ".join(f"'{word}':*" for word in found)
        clause = text("SELECT image_id FROM image_words WHERE words @@ CAST(:match AS tsquery)")
        return images.c.id.in_(clause.bindparams(match=match).columns(images.c.id))
