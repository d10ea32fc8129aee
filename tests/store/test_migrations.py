import logging
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from server.domain.errors import StorageUnavailableError
from server.store.database import Database
from server.store.migrate import HEAD, MIGRATIONS, migrate
from server.store.schema import metadata
from server.store.store import Store

INDEX_OF_WORDS = "image_words"  # made by hand: neither kind is a table of SQLAlchemy's


def is_ours(name: str | None, kind: str, parents: object) -> bool:
    return not (kind == "table" and str(name).startswith(INDEX_OF_WORDS))


def differences(connection: Connection) -> object:
    context = MigrationContext.configure(
        connection, opts={"include_name": is_ours, "compare_server_default": True}
    )
    return compare_metadata(context, metadata)


async def execute(database: Database, statement: str) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text(statement))

    await database.define(work)


async def test_migrations_from_empty_make_the_tables_of_the_schema(empty_url: str) -> None:
    database = Database.at(empty_url)
    try:
        await migrate(database)
        assert await database.define(differences) == []
    finally:
        await database.close()


async def test_opening_says_nothing_on_the_console(
    empty_url: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            await (await Store.open(empty_url)).close()
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.name.startswith("alembic")] == []


def test_the_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_a_database_of_a_newer_version_is_left_alone(empty_url: str) -> None:
    await (await Store.open(empty_url)).close()
    database = Database.at(empty_url)
    await execute(database, "UPDATE alembic_version SET version_num = '9999'")
    await database.close()
    with pytest.raises(StorageUnavailableError, match=r"newer Greenroom.*update Greenroom"):
        await Store.open(empty_url)


async def test_a_migration_that_fails_leaves_the_database_as_it_was(empty_url: str) -> None:
    database = Database.at(empty_url)
    try:
        await execute(database, "CREATE TABLE rates (x integer)")
        with pytest.raises(DBAPIError, match="rates"):
            await migrate(database)
        assert await database.define(lambda c: c.dialect.get_table_names(c)) == ["rates"]
    finally:
        await database.close()


async def test_sqlite_is_set_up_for_one_writer_and_many_readers(tmp_path: Path) -> None:
    database = Database.at(f"sqlite:///{tmp_path / 'greenroom.db'}")
    try:
        await migrate(database)
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        said = await database.define(lambda c: [c.scalar(text(f"PRAGMA {n}")) for n in names])
        assert said == ["wal", 1, 1, 5000]
        assert (await database.read(text("PRAGMA busy_timeout")))[0][0] == 5000
        with pytest.raises(StorageUnavailableError, match="read-only"):
            await database.read(text("DELETE FROM jobs RETURNING 1"))
    finally:
        await database.close()
