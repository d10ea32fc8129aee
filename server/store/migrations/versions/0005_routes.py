"""Routes, what was tried, and owners' chains. What a migration has done stays as it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# PostgreSQL compares by locale unless told otherwise.
word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables and the column."""
    op.add_column("jobs", sa.Column("route", sa.Text))
    op.create_table(
        "tried",
        sa.Column("job_id", word, sa.ForeignKey("jobs.id", name="tried_job"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("member", word, nullable=False),
        sa.Column("pictures", sa.Text, nullable=False),
        sa.Column("outcome", word, nullable=False),
        sa.Column("code", word),
        sa.Column("detail", sa.Text),
        sa.Column("may_have_billed", sa.Boolean, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Double),
        sa.Column("forecast", sa.Text),
    )
    op.create_table(
        "chains",
        sa.Column("model", word, primary_key=True),
        sa.Column("members", word, nullable=False),
    )
