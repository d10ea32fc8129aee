"""Finished pictures as rows. Their files are the keeper's."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.domain.gallery import StoredImage
from server.domain.pages import Page
from server.store.database import Database
from server.store.paging import page
from server.store.search import Search
from server.store.tables import images

_COLUMNS = [images.c[name] for name in StoredImage.model_fields]


class ImageRepository:
    """Pictures by id, job and owner."""

    def __init__(self, database: Database, search: Search) -> None:
        self._database = database
        self._search = search

    async def get(self, image_id: str, owner: str | None = None) -> StoredImage | None:
        """Return one picture; with `owner` only if it is theirs."""
        query = select(*_COLUMNS).where(images.c.id == image_id)
        if owner is not None:
            query = query.where(images.c.owner == owner)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _image(row)

    async def of_job(self, job_id: str) -> list[StoredImage]:
        """Return a job's pictures by index."""
        return (await self.of_jobs([job_id])).get(job_id, [])

    async def of_jobs(self, job_ids: Sequence[str]) -> dict[str, list[StoredImage]]:
        """Return the pictures of several jobs, each by index."""
        found: dict[str, list[StoredImage]] = {}
        for start in range(0, len(job_ids), 500):  # both databases cap the values of one query
            some = job_ids[start : start + 500]
            query = select(*_COLUMNS).where(images.c.job_id.in_(some))
            async with self._database.read() as connection:
                rows = await connection.execute(query.order_by(images.c.job_id, images.c.index))
                for row in rows:
                    image = _image(row)
                    found.setdefault(image.job_id, []).append(image)
        return found

    async def list(
        self,
        owner: str,
        *,
        cursor: str | None,
        limit: int,
        query: str | None = None,
        model: str | None = None,
    ) -> Page[StoredImage]:
        """Return the owner's pictures, newest first."""
        statement = select(*_COLUMNS).where(images.c.owner == owner)
        if model is not None:
            statement = statement.where(images.c.model == model)
        if query is not None and (found := self._search.condition(query)) is not None:
            statement = statement.where(found)
        return await page(self._database, statement, images.c.id, cursor, limit, _image)

    async def insert(self, connection: AsyncConnection, image: StoredImage) -> StoredImage | None:
        """Add a row within the open transaction; returns the earlier one of the same place."""
        query = select(*_COLUMNS).where(
            images.c.job_id == image.job_id, images.c.index == image.index
        )
        row = (await connection.execute(query)).one_or_none()
        if row is not None:
            return _image(row)
        values = {**image.model_dump(mode="json"), "created_at": image.created_at}
        await connection.execute(insert(images).values(values))
        await self._search.add(connection, image.id, image.prompt)
        return None

    async def remove(
        self, connection: AsyncConnection, image_id: str, owner: str
    ) -> StoredImage | None:
        """Delete a row within the open transaction and return it."""
        mine = (images.c.id == image_id) & (images.c.owner == owner)
        row = (await connection.execute(select(*_COLUMNS).where(mine))).one_or_none()
        if row is None:
            return None
        await connection.execute(delete(images).where(mine))
        await self._search.remove(connection, image_id)
        return _image(row)


def _image(row: Row[tuple[object, ...]]) -> StoredImage:
    return StoredImage.model_validate(dict(row._mapping))  # noqa: SLF001 - the documented way
