"""Pictures and uploads as they are kept."""

from __future__ import annotations

from datetime import datetime

from server.domain.images import Frozen, Id, ImageFormat
from server.domain.money import Money
from server.domain.recipes import Recipe


class StoredImage(Frozen):
    """A finished picture. It is known by (job_id, index), never by its hash."""

    id: Id
    owner: str
    job_id: Id
    index: int
    sha256: str
    size_bytes: int
    format: ImageFormat
    width: int
    height: int
    seed: int
    prompt: str
    model: str
    served_by: str
    duration_seconds: float
    recipe: Recipe
    cost: Money | None = None  # None: not priced, or not known
    created_at: datetime


class Upload(Frozen):
    """A source picture a caller brought, re-encoded as PNG: no metadata, upright, RGB."""

    id: Id
    owner: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    created_at: datetime
