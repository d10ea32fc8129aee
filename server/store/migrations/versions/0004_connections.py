"""Connections to remote services. What a migration has done stays as it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# PostgreSQL compares by locale unless told otherwise.
word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "connections",
        sa.Column("id", word, primary_key=True),
        sa.Column("name", word, nullable=False),
        sa.Column("provider", word, nullable=False),
        sa.Column("model", word, nullable=False),
        sa.Column("base_url", word),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("is_trusted", sa.Boolean, nullable=False),
        sa.Column("takes_pictures", sa.Boolean, nullable=False),
        sa.Column("concurrency", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("sealed_key", word),
        sa.Column("master_key_id", word),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("name", name="connections_name"),
    )
