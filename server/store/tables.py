"""The schema. Values of the domain are kept as JSON where no query looks inside."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect


class UtcTime(TypeDecorator[datetime]):
    """Times that are aware and in UTC on both databases; SQLite itself keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse times without a zone, and bring the others to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be kept")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give SQLite's times their zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER by itself
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("key_id", String(26), nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", String(8), nullable=False),
    Column("request", JSON, nullable=False),
    Column("resolved", JSON, nullable=False),
    Column("flops", Float, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("deadline_at", UtcTime),
    Column("attempt", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("epoch", String(26)),
    Column("idempotency_key", String(255)),
    Column("request_hash", String(64), nullable=False),
    UniqueConstraint("owner", "idempotency_key"),
    Index(None, "owner", "id"),
    Index(None, "state", "id"),
)

# A blob's row is there before its file and goes after it, so no file is ever without a row;
# is_stored says that the whole file is there.
blobs = Table(
    "blobs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("suffix", String(8), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("is_stored", Boolean(create_constraint=False), nullable=False),
)

images = Table(
    "images",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("job_id", String(26), ForeignKey("jobs.id"), nullable=False),
    Column("index", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("format", String(8), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("model", String(64), nullable=False),
    Column("served_by", String(64), nullable=False),
    Column("duration_seconds", Float, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("job_id", "index"),
    Index(None, "owner", "id"),
    Index(None, "sha256"),
    CheckConstraint('"index" >= 0', name="index_is_not_negative"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "owner", "id"),
    Index(None, "sha256"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("created_at", UtcTime, nullable=False),
    Column("last_used_at", UtcTime),
    Column("revoked_at", UtcTime),
)

events = Table(
    "events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("owner", String(64), nullable=False),
    Column("job_id", String(26), ForeignKey("jobs.id"), nullable=False),
    Column("type", String(16), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("image_id", String(26)),
    Column("error", JSON(none_as_null=True)),
    Index(None, "owner", "id"),
    Index(None, "job_id", "id"),
    sqlite_autoincrement=True,  # a listener's position must never be given out twice
)

rates = Table(
    "rates",
    metadata,
    Column("device", String(32), primary_key=True),
    Column("model", String(64), primary_key=True),
    Column("seconds_per_flop", Float, nullable=False),
)
