"""Who calls, and what they may do."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from server.domain.images import Frozen, Id
from server.domain.money import Money

ADMIN_OWNER = "admin"


class Scope(StrEnum):
    """GENERATE: draw and see one's own things. ADMIN: also keys, models, connections, workers."""

    GENERATE = "generate"
    ADMIN = "admin"


class ApiKey(Frozen):
    """A key as listed: never the secret, only its first letters.

    `budget` is what its jobs may cost in a calendar month, in UTC; None: whatever they cost.
    """

    id: Id
    name: str
    owner: str
    scopes: tuple[Scope, ...]
    prefix: str
    budget: Money | None = None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class Caller(Frozen):
    """Whoever a request was authenticated as."""

    key_id: str
    owner: str
    scopes: frozenset[Scope]
    has_budget: bool = False

    def may(self, scope: Scope) -> bool:
        """Return whether `scope` is granted; ADMIN grants all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes
