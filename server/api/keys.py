"""API keys, for administrators: make, list, budget, revoke."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from server.api.auth import ServicesDep
from server.api.lists import ItemList
from server.api.problems import documented
from server.domain.images import Frozen, Id
from server.domain.keys import ApiKey, Scope
from server.domain.money import Money

router = APIRouter(prefix="/api/v1/keys", tags=["administration"])


class KeyRequest(Frozen):
    """A key to make."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")
    owner: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="Whose pictures it sees; absent: a new owner",
    )
    scopes: tuple[Scope, ...] = Field(default=(Scope.GENERATE,), min_length=1, max_length=2)
    budget: Money | None = Field(
        default=None,
        description="What its jobs may cost in a calendar month (UTC); absent: whatever they cost",
    )


class Budget(Frozen):
    """A key's budget; null: none."""

    budget: Money | None


class NewKey(Frozen):
    """A key just made. `secret` is shown this once and kept nowhere."""

    key: ApiKey
    secret: str


@router.post(
    "", status_code=201, summary="Make a key", operation_id="create_key", responses=documented(507)
)
async def create_key(body: KeyRequest, services: ServicesDep) -> NewKey:
    """Return a new key with its secret."""
    key, secret = await services.keys.create(
        body.name, owner=body.owner, scopes=body.scopes, budget=body.budget
    )
    return NewKey(key=key, secret=secret)


@router.get("", summary="List keys", operation_id="list_keys")
async def list_keys(services: ServicesDep) -> ItemList[ApiKey]:
    """Return all keys, revoked ones too, newest first; never a secret."""
    return ItemList(items=tuple(await services.keys.list()), next_cursor=None)


@router.put(
    "/{key_id}/budget",
    summary="Set a key's budget",
    operation_id="set_key_budget",
    responses=documented(404, 507),
)
async def set_budget(
    body: Budget,
    key_id: Annotated[Id, Path(description="Id of a key")],
    services: ServicesDep,
) -> ApiKey:
    """Change what a key's jobs may cost in a calendar month; what is spent already counts.

    `GET /api/v1/usage` shows what is left.
    """
    return await services.keys.set_budget(key_id, body.budget)


@router.delete(
    "/{key_id}", summary="Revoke a key", operation_id="revoke_key", responses=documented(404)
)
async def revoke_key(
    key_id: Annotated[Id, Path(description="Id of a key")], services: ServicesDep
) -> ApiKey:
    """Make a key worthless at once; its owner's pictures stay."""
    return await services.keys.revoke(key_id)
