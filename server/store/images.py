"""Finished pictures."""

from __future__ import annotations

import builtins
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, select

from server.domain.budgets import Charge
from server.domain.gallery import StoredImage
from server.domain.pages import Page
from server.store import ledger
from server.store.columns import read
from server.store.database import Database, Transaction
from server.store.pages import page
from server.store.schema import images
from server.store.search import prompt_words
from server.store.vault import Vault


def _image(row: Row[Any]) -> StoredImage:
    return read(StoredImage, row)


class ImageRepository:
    """Pictures of all owners; `owner=None` means the server itself asks."""

    def __init__(self, database: Database, vault: Vault | None) -> None:
        self._database = database
        self._vault = vault
        self._words = prompt_words(database.dialect)

    async def add(
        self, image: StoredImage, charge: Charge | None = None
    ) -> tuple[StoredImage, bool]:
        """Keep a picture's row; its file was staged and put before, see `Store.keep_image`.

        Args:
            image: the row.
            charge: what the ledger says of it.

        Returns:
            The row, and whether it is new: of two with one (job_id, index) the first stays.
        """

        def work(transaction: Transaction) -> tuple[StoredImage, bool]:
            if not transaction.add(images, dict(image), ["job_id", "index"]):
                place = (images.c.job_id == image.job_id, images.c.index == image.index)
                return _image(transaction.execute(select(images).where(*place)).one()), False
            self._words.add(transaction, image.id, image.prompt)
            if charge is not None:
                ledger.charge(transaction, charge)
            transaction.tell(
                "picture",
                owner=image.owner,
                job_id=image.job_id,
                at=image.created_at,
                image_id=image.id,
            )
            return image, True

        return await self._database.write(work)

    async def get(self, image_id: str, owner: str | None = None) -> StoredImage | None:
        """Return a picture, if there is one and `owner` may see it."""
        statement = select(images).where(images.c.id == image_id)
        if owner is not None:
            statement = statement.where(images.c.owner == owner)
        rows = await self._database.read(statement)
        return _image(rows[0]) if rows else None

    async def of_job(self, job_id: str) -> builtins.list[StoredImage]:
        """Return a job's pictures by index."""
        return (await self.of_jobs([job_id])).get(job_id, [])

    async def of_jobs(self, job_ids: Sequence[str]) -> dict[str, builtins.list[StoredImage]]:
        """Return the pictures of several jobs by index; jobs without any are absent."""
        found: defaultdict[str, builtins.list[StoredImage]] = defaultdict(list)
        statement = select(images).where(images.c.job_id.in_(job_ids))
        for row in await self._database.read(statement.order_by(images.c.job_id, images.c.index)):
            found[row.job_id].append(_image(row))
        return dict(found)

    async def list(
        self,
        owner: str,
        *,
        cursor: str | None,
        limit: int,
        query: str | None = None,
        model: str | None = None,
    ) -> Page[StoredImage]:
        """Return an owner's pictures, newest first.

        Args:
            owner: whose.
            cursor: id of the last picture of the page before.
            limit: how many at most.
            query: words that words of the prompt begin with, all of them; without words, any.
            model: only pictures of this model.
        """
        statement = select(images).where(images.c.owner == owner)
        if model is not None:
            statement = statement.where(images.c.model == model)
        if query is not None and (condition := self._words.condition(query)) is not None:
            statement = statement.where(condition)
        return await page(self._database, statement, images.c.id, _image, cursor, limit)

    async def delete(self, image_id: str, owner: str) -> StoredImage | None:
        """Delete a picture, and its file unless an equal one needs it. None: no such picture."""
        image = await self.get(image_id, owner)
        if image is None:
            return None

        def work(transaction: Transaction) -> StoredImage | None:
            gone = transaction.execute(delete(images).where(images.c.id == image_id)).rowcount
            if not gone:
                return None
            self._words.remove(transaction, image_id)
            return image

        if self._vault is None:
            return await self._database.write(work)
        return await self._vault.release(
            image.sha256, image.format, lambda: self._database.write(work)
        )
