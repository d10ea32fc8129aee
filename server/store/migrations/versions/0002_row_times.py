"""Curves of seconds against rows. What a migration has done stays as it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# PostgreSQL compares by locale unless told otherwise.
word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "row_times",
        sa.Column("hardware", word, primary_key=True),
        sa.Column("model", word, primary_key=True),
        sa.Column("fingerprint", word, primary_key=True),
        sa.Column("bucket", word, primary_key=True),
        sa.Column("rows", sa.Integer, primary_key=True),
        sa.Column("seconds", sa.Double, nullable=False),
    )
