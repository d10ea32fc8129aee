"""Adapters that every key may draw with. What a migration has done stays as it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# PostgreSQL compares by locale unless told otherwise.
word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "adapters",
        sa.Column("id", word, primary_key=True),
        sa.Column("sha256", word, nullable=False),
        sa.Column("family", word, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("layers", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("sha256", name="adapters_file"),
    )
