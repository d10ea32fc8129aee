"""Bring a database to this version's tables, at start and without a word on the console."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from server.domain.errors import StorageUnavailableError
from server.store.database import Database

HEAD = "0006"  # the newest file in migrations/versions; a test holds the two together
MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6772_6D69  # PostgreSQL: two processes that start at once take turns


async def migrate(database: Database) -> None:
    """Upgrade an older or empty database; leave a present one untouched.

    Raises:
        StorageUnavailableError: a newer Greenroom has written it.
    """
    await database.define(_migrate)


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    found = _version(connection)
    if found == HEAD:
        return  # alembic takes 0.2 s to import: not at every start
    _upgrade(connection, found)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StorageUnavailableError(
            f"a newer Greenroom wrote this database (version {found}, this one knows {HEAD}); "
            "update Greenroom"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
