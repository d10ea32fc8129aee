"""A ledger, and budgets of keys. What a migration has done stays as it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# PostgreSQL compares by locale unless told otherwise.
word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables; what was drawn before has no cost."""
    op.add_column("jobs", sa.Column("hold", sa.Text))
    op.add_column("jobs", sa.Column("cost", sa.Text))
    op.add_column("images", sa.Column("cost", sa.Text))
    op.add_column("keys", sa.Column("budget", sa.Text))
    _make_ledger()
    op.create_table(
        "budgets",
        sa.Column("key_id", word, sa.ForeignKey("keys.id", name="budgets_key"), primary_key=True),
        sa.Column("month", word, primary_key=True),
        sa.Column("currency", word, primary_key=True),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
    )


def _make_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("job_id", word, primary_key=True),
        sa.Column("kind", word, primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True),
        sa.Column("key_id", word, nullable=False),
        sa.Column("owner", word, nullable=False),
        sa.Column("image_id", word),
        sa.Column("model", word, nullable=False),
        sa.Column("served_by", word),
        sa.Column("micros", sa.BigInteger, nullable=False),
        sa.Column("currency", word, nullable=False),
        sa.Column("device_seconds", sa.Double, nullable=False),
        sa.Column("day", word, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ledger_owner", "ledger", ["owner", "day"])
    op.create_index("ledger_day", "ledger", ["day"])
