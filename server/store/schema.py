"""The tables. A change here needs a migration; a test compares the two on both databases."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
)

from server.domain.budgets import Hold
from server.domain.connections import Parameters
from server.domain.images import ImageRequest, ResolvedRequest
from server.domain.jobs import JobError
from server.domain.money import Money
from server.domain.recipes import Recipe
from server.domain.routes import Forecast, Route
from server.store.columns import Json, Numbers, Prose, UtcTime, Word

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", Word, primary_key=True),
    Column("owner", Word, nullable=False),
    Column("key_id", Word, nullable=False),
    Column("state", Word, nullable=False),
    Column("priority", Word, nullable=False),
    Column("request", Json(ImageRequest), nullable=False),
    Column("resolved", Json(ResolvedRequest), nullable=False),
    Column("flops", Double, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("deadline_at", UtcTime),
    Column("attempt", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("error", Json(JobError)),
    Column("route", Json(Route)),  # null: of a version that knew no chains
    Column("hold", Json(Hold)),  # reserved from its key's budget; the ledger says what became of it
    Column("cost", Json(Money)),  # of its pictures, when it has ended
    Column("epoch", Word),  # of the server process that runs it; meaningless unless running
    Column("idempotency_key", Word),
    Column("request_hash", Word, nullable=False),
    UniqueConstraint("owner", "idempotency_key", name="jobs_idempotency"),
    Index("jobs_owner", "owner", "id"),
    Index("jobs_state", "state", "id"),
)

# What became of each member that a job's route named, in order.
tried = Table(
    "tried",
    metadata,
    Column("job_id", Word, ForeignKey("jobs.id", name="tried_job"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("member", Word, nullable=False),
    Column("pictures", Numbers, nullable=False),
    Column("outcome", Word, nullable=False),
    Column("code", Word),
    Column("detail", Prose),
    Column("may_have_billed", Boolean, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("seconds", Double),
    Column("forecast", Json(Forecast)),
)

# Chains that the server's owner has set; they go before those of models.yaml.
chains = Table(
    "chains",
    metadata,
    Column("model", Word, primary_key=True),
    Column("members", Word, nullable=False),  # separated by spaces
)

# A row is here before its file is, and goes after it: what no picture or upload refers to is a
# leftover, or on its way this moment.
blobs = Table(
    "blobs",
    metadata,
    Column("sha256", Word, primary_key=True),
    Column("suffix", Word, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
)

images = Table(
    "images",
    metadata,
    Column("id", Word, primary_key=True),
    Column("owner", Word, nullable=False),
    Column("job_id", Word, ForeignKey("jobs.id", name="images_job"), nullable=False),
    Column("index", Integer, nullable=False),
    Column("sha256", Word, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("format", Word, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("prompt", Prose, nullable=False),
    Column("model", Word, nullable=False),
    Column("served_by", Word, nullable=False),
    Column("duration_seconds", Double, nullable=False),
    Column("recipe", Json(Recipe), nullable=False),
    Column("cost", Json(Money)),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("job_id", "index", name="images_place"),
    ForeignKeyConstraint(
        ["sha256", "format"], ["blobs.sha256", "blobs.suffix"], name="images_blob"
    ),
    Index("images_owner", "owner", "id"),
    Index("images_sha256", "sha256"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Word, primary_key=True),
    Column("owner", Word, nullable=False),
    Column("sha256", Word, nullable=False),
    Column("format", Word, nullable=False),  # always png; half of the blob's key
    Column("size_bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    ForeignKeyConstraint(
        ["sha256", "format"], ["blobs.sha256", "blobs.suffix"], name="uploads_blob"
    ),
    Index("uploads_owner", "owner", "id"),
    Index("uploads_sha256", "sha256"),
)

# Everyone's. The files lie with the models', since workers read them, and not with the blobs.
adapters = Table(
    "adapters",
    metadata,
    Column("id", Word, primary_key=True),
    Column("sha256", Word, nullable=False),
    Column("family", Word, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("layers", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("file_name", Prose, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("sha256", name="adapters_file"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Word, primary_key=True),
    Column("name", Prose, nullable=False),
    Column("owner", Word, nullable=False),
    Column("scopes", Word, nullable=False),  # separated by spaces
    Column("prefix", Word, nullable=False),
    Column("budget", Json(Money)),  # of a calendar month
    Column("secret_hash", Word, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("last_used_at", UtcTime),
    Column("revoked_at", UtcTime),
    UniqueConstraint("secret_hash", name="keys_secret"),
)

# Written once, never changed, and without foreign keys: a line outlives what it speaks of.
ledger = Table(
    "ledger",
    metadata,
    Column("job_id", Word, primary_key=True),
    Column("kind", Word, primary_key=True),
    Column("index", Integer, primary_key=True),  # of the picture; -1: about the whole job
    Column("key_id", Word, nullable=False),
    Column("owner", Word, nullable=False),
    Column("image_id", Word),
    Column("model", Word, nullable=False),
    Column("served_by", Word),
    Column("micros", BigInteger, nullable=False),
    Column("currency", Word, nullable=False),
    Column("device_seconds", Double, nullable=False),
    Column("day", Word, nullable=False),  # in UTC: both databases group by it alike
    Column("at", UtcTime, nullable=False),
    Index("ledger_owner", "owner", "day"),
    Index("ledger_day", "day"),
)

# What the ledger adds up to, key by key and month by month, so that a new job need not add.
budgets = Table(
    "budgets",
    metadata,
    Column("key_id", Word, ForeignKey("keys.id", name="budgets_key"), primary_key=True),
    Column("month", Word, primary_key=True),
    Column("currency", Word, primary_key=True),
    Column("reserved", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
)

# The key of the remote service is sealed; `master_key_id` says with what it opens.
connections = Table(
    "connections",
    metadata,
    Column("id", Word, primary_key=True),
    Column("name", Word, nullable=False),
    Column("provider", Word, nullable=False),
    Column("model", Word, nullable=False),
    Column("base_url", Word),
    Column("parameters", Json(Parameters), nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("is_trusted", Boolean, nullable=False),
    Column("takes_pictures", Boolean, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("sealed_key", Word),
    Column("master_key_id", Word),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("name", name="connections_name"),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("owner", Word, nullable=False),
    Column("job_id", Word, ForeignKey("jobs.id", name="events_job"), nullable=False),
    Column("type", Word, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("image_id", Word),  # no foreign key: a picture may be deleted, its event stays
    Column("error", Json(JobError)),
    Index("events_owner", "owner", "id"),
    Index("events_job_id", "job_id", "id"),
    sqlite_autoincrement=True,  # a number is never given twice: listeners remember the last one
)

rates = Table(
    "rates",
    metadata,
    Column("device", Word, primary_key=True),
    Column("model", Word, primary_key=True),
    Column("seconds_per_flop", Double, nullable=False),
)

row_times = Table(
    "row_times",
    metadata,
    Column("hardware", Word, primary_key=True),
    Column("model", Word, primary_key=True),
    Column("fingerprint", Word, primary_key=True),
    Column("bucket", Word, primary_key=True),
    Column("rows", Integer, primary_key=True),
    Column("seconds", Double, nullable=False),
)

about = Table(
    "about",
    metadata,
    Column("name", Word, primary_key=True),
    Column("value", Word, nullable=False),
)
