"""First tables. What a migration has done stays as it was, so it repeats the schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# PostgreSQL compares by locale unless told otherwise.
word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make all tables."""
    _jobs()
    _blobs()
    _keys()
    _events()
    op.create_table(
        "rates",
        sa.Column("device", word, primary_key=True),
        sa.Column("model", word, primary_key=True),
        sa.Column("seconds_per_flop", sa.Double, nullable=False),
    )
    op.create_table(
        "about",
        sa.Column("name", word, primary_key=True),
        sa.Column("value", word, nullable=False),
    )
    _words()


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", word, primary_key=True),
        sa.Column("owner", word, nullable=False),
        sa.Column("key_id", word, nullable=False),
        sa.Column("state", word, nullable=False),
        sa.Column("priority", word, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("resolved", sa.Text, nullable=False),
        sa.Column("flops", sa.Double, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("started_at", time),
        sa.Column("finished_at", time),
        sa.Column("deadline_at", time),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("deaths", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("epoch", word),
        sa.Column("idempotency_key", word),
        sa.Column("request_hash", word, nullable=False),
        sa.UniqueConstraint("owner", "idempotency_key", name="jobs_idempotency"),
    )
    op.create_index("jobs_owner", "jobs", ["owner", "id"])
    op.create_index("jobs_state", "jobs", ["state", "id"])


def _blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("sha256", word, primary_key=True),
        sa.Column("suffix", word, primary_key=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "images",
        sa.Column("id", word, primary_key=True),
        sa.Column("owner", word, nullable=False),
        sa.Column("job_id", word, sa.ForeignKey("jobs.id", name="images_job"), nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("sha256", word, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("format", word, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("model", word, nullable=False),
        sa.Column("served_by", word, nullable=False),
        sa.Column("duration_seconds", sa.Double, nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.UniqueConstraint("job_id", "index", name="images_place"),
        sa.ForeignKeyConstraint(
            ["sha256", "format"], ["blobs.sha256", "blobs.suffix"], name="images_blob"
        ),
    )
    op.create_index("images_owner", "images", ["owner", "id"])
    op.create_index("images_sha256", "images", ["sha256"])
    op.create_table(
        "uploads",
        sa.Column("id", word, primary_key=True),
        sa.Column("owner", word, nullable=False),
        sa.Column("sha256", word, nullable=False),
        sa.Column("format", word, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256", "format"], ["blobs.sha256", "blobs.suffix"], name="uploads_blob"
        ),
    )
    op.create_index("uploads_owner", "uploads", ["owner", "id"])
    op.create_index("uploads_sha256", "uploads", ["sha256"])


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", word, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("owner", word, nullable=False),
        sa.Column("scopes", word, nullable=False),
        sa.Column("prefix", word, nullable=False),
        sa.Column("secret_hash", word, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("last_used_at", time),
        sa.Column("revoked_at", time),
        sa.UniqueConstraint("secret_hash", name="keys_secret"),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("owner", word, nullable=False),
        sa.Column("job_id", word, sa.ForeignKey("jobs.id", name="events_job"), nullable=False),
        sa.Column("type", word, nullable=False),
        sa.Column("at", time, nullable=False),
        sa.Column("image_id", word),
        sa.Column("error", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("events_owner", "events", ["owner", "id"])
    op.create_index("events_job_id", "events", ["job_id", "id"])


def _words() -> None:
    """Make the index of prompts that server.store.search reads and writes."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE image_words USING fts5("
            "image_id, words, tokenize = \"unicode61 remove_diacritics 2 categories 'L* N* Mc'\")"
        )
        return
    op.execute(
        'CREATE TABLE image_words (image_id text COLLATE "C" PRIMARY KEY '
        "REFERENCES images (id) ON DELETE CASCADE, words tsvector NOT NULL)"
    )
    op.execute("CREATE INDEX image_words_words ON image_words USING gin (words)")
