"""What Alembic runs for each command; the connection and its transaction are the caller's."""

from __future__ import annotations

from alembic import context

from server.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can, though Alembic assumes that it cannot
)
context.run_migrations()
