"""Source pictures as rows. Their files are the keeper's."""

from __future__ import annotations

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.domain.gallery import Upload
from server.domain.pages import Page
from server.store.database import Database
from server.store.paging import page
from server.store.tables import uploads


class UploadRepository:
    """Uploads by id and owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, upload_id: str, owner: str | None = None) -> Upload | None:
        """Return one upload; with `owner` only if it is theirs."""
        query = select(uploads).where(uploads.c.id == upload_id)
        if owner is not None:
            query = query.where(uploads.c.owner == owner)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _upload(row)

    async def list(self, owner: str, *, cursor: str | None, limit: int) -> Page[Upload]:
        """Return the owner's uploads, newest first."""
        query = select(uploads).where(uploads.c.owner == owner)
        return await page(self._database, query, uploads.c.id, cursor, limit, _upload)

    async def insert(self, connection: AsyncConnection, upload: Upload) -> None:
        """Add a row within the open transaction."""
        await connection.execute(insert(uploads).values(upload.model_dump()))

    async def remove(
        self, connection: AsyncConnection, upload_id: str, owner: str
    ) -> Upload | None:
        """Delete a row within the open transaction and return it."""
        mine = (uploads.c.id == upload_id) & (uploads.c.owner == owner)
        row = (await connection.execute(select(uploads).where(mine))).one_or_none()
        if row is None:
            return None
        await connection.execute(delete(uploads).where(mine))
        return _upload(row)


def _upload(row: Row[tuple[object, ...]]) -> Upload:
    return Upload.model_validate(dict(row._mapping))  # noqa: SLF001 - the documented way to names
