"""Source pictures that callers brought."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, select

from server.domain.gallery import Upload
from server.domain.pages import Page
from server.store.columns import read
from server.store.database import Database, Transaction
from server.store.pages import page
from server.store.schema import uploads
from server.store.vault import Vault

UPLOAD_SUFFIX = "png"
_COLUMNS = tuple(uploads.c[name] for name in Upload.model_fields)


def _upload(row: Row[Any]) -> Upload:
    return read(Upload, row)


class UploadRepository:
    """Uploads of all owners; `owner=None` means the server itself asks."""

    def __init__(self, database: Database, vault: Vault | None) -> None:
        self._database = database
        self._vault = vault

    async def add(self, upload: Upload) -> tuple[Upload, bool]:
        """Keep an upload's row; its file was put before, see `Store.keep_upload`."""
        values = dict(upload) | {"format": UPLOAD_SUFFIX}

        def work(transaction: Transaction) -> tuple[Upload, bool]:
            transaction.execute(uploads.insert().values(values))
            return upload, True

        return await self._database.write(work)

    async def get(self, upload_id: str, owner: str | None = None) -> Upload | None:
        """Return an upload, if there is one and `owner` may see it."""
        statement = select(*_COLUMNS).where(uploads.c.id == upload_id)
        if owner is not None:
            statement = statement.where(uploads.c.owner == owner)
        rows = await self._database.read(statement)
        return _upload(rows[0]) if rows else None

    async def by_hash(self, sha256: str, owner: str) -> Upload | None:
        """Return the first upload of an owner that has this very file, if there is one."""
        statement = select(*_COLUMNS).where(uploads.c.sha256 == sha256, uploads.c.owner == owner)
        rows = await self._database.read(statement.order_by(uploads.c.id).limit(1))
        return _upload(rows[0]) if rows else None

    async def list(self, owner: str, *, cursor: str | None, limit: int) -> Page[Upload]:
        """Return an owner's uploads, newest first."""
        statement = select(*_COLUMNS).where(uploads.c.owner == owner)
        return await page(self._database, statement, uploads.c.id, _upload, cursor, limit)

    async def delete(self, upload_id: str, owner: str) -> Upload | None:
        """Delete an upload, and its file unless an equal one needs it. None: no such upload."""
        upload = await self.get(upload_id, owner)
        if upload is None:
            return None

        def work(transaction: Transaction) -> Upload | None:
            gone = transaction.execute(delete(uploads).where(uploads.c.id == upload_id)).rowcount
            return upload if gone else None

        if self._vault is None:
            return await self._database.write(work)
        return await self._vault.release(
            upload.sha256, UPLOAD_SUFFIX, lambda: self._database.write(work)
        )
