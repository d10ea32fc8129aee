"""API keys and the admin's session. A secret is shown once and stored as a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from server.domain.errors import (
    InvalidRequestError,
    NotFoundError,
    StorageFullError,
    StorageUnavailableError,
    UnauthorizedError,
)
from server.domain.ids import IdMaker
from server.domain.keys import ADMIN_OWNER, ApiKey, Caller, Scope
from server.domain.money import Money
from server.store.store import Store

_PREFIX = "gr-"
_SHOWN = 7  # letters of a secret that a list shows: enough to tell keys apart
_TOUCH_EVERY = timedelta(minutes=1)
_ADMIN = Caller(key_id="admin", owner=ADMIN_OWNER, scopes=frozenset({Scope.ADMIN}))


class Keys:
    """Who may come in."""

    def __init__(
        self,
        store: Store,
        admin_token: str,
        new_id: IdMaker,
        now: Callable[[], datetime],
        *,
        currency: str = "USD",
    ) -> None:
        self._store = store
        self._admin_hash = _hash(admin_token)
        # Derived, so the cookie is worth nothing as a key and dies with the token.
        self._session = hmac.new(admin_token.encode(), b"session", "sha256").hexdigest()
        self._link_key = hmac.new(admin_token.encode(), b"links", "sha256").digest()
        self._new_id = new_id
        self._now = now
        self._currency = currency

    @property
    def link_key(self) -> bytes:
        """The secret that expiring links are signed with."""
        return self._link_key

    async def create(
        self,
        name: str,
        *,
        owner: str | None = None,
        scopes: Sequence[Scope] = (Scope.GENERATE,),
        budget: Money | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key and return it with its secret, which is never shown again.

        Args:
            name: for people.
            owner: whose pictures it sees; absent: a new owner, named after the key's id.
            scopes: what it may do; at least one.
            budget: what its jobs may cost in a calendar month; None: whatever they cost.

        Raises:
            InvalidRequestError: no scope, or a budget that is below zero or in another currency.
        """
        self._check(budget)
        if not scopes:
            raise InvalidRequestError("a key needs at least one scope: generate or admin")
        key_id = self._new_id()
        secret = _PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(
            id=key_id,
            name=name,
            owner=owner or f"owner-{key_id}",
            scopes=tuple(sorted(set(scopes))),
            prefix=secret[:_SHOWN],
            budget=budget,
            created_at=self._now(),
            last_used_at=None,
            revoked_at=None,
        )
        await self._store.keys.add(key, _hash(secret))
        return key, secret

    async def list(self) -> list[ApiKey]:
        """Return all keys, revoked ones too, newest first."""
        return await self._store.keys.list()

    async def revoke(self, key_id: str) -> ApiKey:
        """Make a key worthless at once; its owner's pictures stay."""
        key = await self._store.keys.revoke(key_id, self._now())
        if key is None:
            raise NotFoundError(f"no key '{key_id}'")
        return key

    async def set_budget(self, key_id: str, budget: Money | None) -> ApiKey:
        """Change what a key's jobs may cost in a month; what is spent and reserved stays.

        Raises:
            NotFoundError: no such key.
            InvalidRequestError: below zero, or in another currency than this server's.
        """
        self._check(budget)
        key = await self._store.keys.set_budget(key_id, budget)
        if key is None:
            raise NotFoundError(f"no key '{key_id}'")
        return key

    def _check(self, budget: Money | None) -> None:
        if budget is None:
            return
        if budget.currency != self._currency:
            raise InvalidRequestError(
                f"this server counts in {self._currency}, not in {budget.currency}; give the "
                f"budget in {self._currency}",
                parameter="budget",
            )
        if budget.micros < 0:
            raise InvalidRequestError("a budget is not below zero", parameter="budget")

    async def authenticate(self, token: str) -> Caller:
        """Return who comes with `token`.

        Raises:
            UnauthorizedError: unknown or revoked; the two are never told apart.
        """
        hashed = _hash(token)
        if hmac.compare_digest(hashed, self._admin_hash):
            return _ADMIN
        key = await self._store.keys.by_hash(hashed)
        if key is None or key.revoked_at is not None:
            raise UnauthorizedError("the key is unknown or revoked")
        now = self._now()
        if key.last_used_at is None or now - key.last_used_at > _TOUCH_EVERY:
            with suppress(StorageFullError, StorageUnavailableError):  # only a note for people
                await self._store.keys.touch(key.id, now)
        return Caller(
            key_id=key.id,
            owner=key.owner,
            scopes=frozenset(key.scopes),
            has_budget=key.budget is not None,
        )

    def is_admin_token(self, token: str) -> bool:
        """Return whether `token` is the admin's own."""
        return hmac.compare_digest(_hash(token), self._admin_hash)

    def session_cookie(self) -> str:
        """Return the value that stands for the admin in a browser."""
        return self._session

    def authenticate_cookie(self, value: str) -> Caller:
        """Return the admin when `value` is the session's.

        Raises:
            UnauthorizedError: it is not.
        """
        if not hmac.compare_digest(value.encode(), self._session.encode()):
            raise UnauthorizedError("the session is over; sign in again")
        return _ADMIN


def _hash(secret: str) -> str:
    # Secrets are 256 bits of chance, so a fast hash is as good as a slow one.
    return hashlib.sha256(secret.encode()).hexdigest()
