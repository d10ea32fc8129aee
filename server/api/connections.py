"""Connections to remote services, for administrators; others see them as models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from server.api.auth import ServicesDep
from server.api.lists import ItemList
from server.api.problems import documented
from server.domain.connections import ConnectionChange, ConnectionsFile, ConnectionWish
from server.domain.images import Frozen, Id, ModelId
from server.services.connection_views import (
    CheckView,
    ConnectionView,
    ImportedView,
    ProviderView,
    RemoteModelsView,
)

router = APIRouter(prefix="/api/v1", tags=["connections"])

ConnectionId = Annotated[Id, Path(description="Id of a connection")]


class NewOrder(Frozen):
    """The ids that come first; connections that are not named follow as they were."""

    ids: tuple[Id, ...] = Field(min_length=1, max_length=1000)


class CopyRequest(Frozen):
    """What to call the copy."""

    name: ModelId | None = Field(default=None, description="Absent: made of the old name")


@router.get("/providers", summary="List kinds of services", operation_id="list_providers")
async def list_providers(services: ServicesDep) -> ItemList[ProviderView]:
    """Return every kind of service, with what a connection to it needs and what it draws with."""
    return ItemList(items=await services.connections.kinds(), next_cursor=None)


@router.get("/connections", summary="List connections", operation_id="list_connections")
async def list_connections(services: ServicesDep) -> ItemList[ConnectionView]:
    """Return all connections in their order; never a key."""
    return ItemList(items=await services.connections.list(), next_cursor=None)


@router.post(
    "/connections",
    status_code=201,
    summary="Make a connection",
    operation_id="create_connection",
    responses=documented(409, 507),
)
async def create_connection(
    body: ConnectionWish, services: ServicesDep, response: Response
) -> ConnectionView:
    """Make a remote model one that can be drawn with, under a name of your choice.

    The key is kept encrypted and never shown. Test the connection next.
    """
    made = await services.connections.create(body)
    response.headers["Location"] = f"{router.prefix}/connections/{made.id}"
    return made


@router.get("/connections/export", summary="Export connections", operation_id="export_connections")
async def export_connections(services: ServicesDep) -> ConnectionsFile:
    """Return all connections as a file to import elsewhere; no key is in it."""
    return await services.connections.export()


@router.post(
    "/connections/import",
    summary="Import connections",
    operation_id="import_connections",
    responses=documented(507),
)
async def import_connections(body: ConnectionsFile, services: ServicesDep) -> ImportedView:
    """Make the connections of an exported file, and say which need a key.

    One whose name is taken here is skipped with the reason; nothing that is here is changed.
    """
    return await services.connections.import_(body)


@router.post(
    "/connections/order",
    summary="Reorder connections",
    operation_id="order_connections",
    responses=documented(404, 507),
)
async def order_connections(body: NewOrder, services: ServicesDep) -> ItemList[ConnectionView]:
    """Put connections first and return all in their new order."""
    return ItemList(items=await services.connections.order(body.ids), next_cursor=None)


@router.get(
    "/connections/{connection_id}",
    summary="Look at a connection",
    operation_id="get_connection",
    responses=documented(404),
)
async def get_connection(connection_id: ConnectionId, services: ServicesDep) -> ConnectionView:
    """Return one connection."""
    return await services.connections.get(connection_id)


@router.patch(
    "/connections/{connection_id}",
    summary="Change a connection",
    operation_id="edit_connection",
    responses=documented(404, 409, 507),
)
async def edit_connection(
    connection_id: ConnectionId, body: ConnectionChange, services: ServicesDep
) -> ConnectionView:
    """Change what is given; the rest stays, the key too.

    A connection that goes to another address needs its key again, so that no key is sent where
    its owner did not mean it to go.
    """
    return await services.connections.edit(connection_id, body)


@router.delete(
    "/connections/{connection_id}",
    status_code=204,
    summary="Delete a connection",
    operation_id="delete_connection",
    responses=documented(404, 409, 507),
)
async def delete_connection(connection_id: ConnectionId, services: ServicesDep) -> None:
    """Delete a connection and its key; pictures drawn with it stay."""
    await services.connections.delete(connection_id)


@router.post(
    "/connections/{connection_id}/test",
    summary="Test a connection",
    operation_id="test_connection",
    responses=documented(404, 409, 502),
)
async def test_connection(connection_id: ConnectionId, services: ServicesDep) -> CheckView:
    """Call the service with the key: its models, what is left to spend, its limits.

    502 with a type that says what is wrong where it does not answer, or refuses the key.
    """
    return await services.connections.test(connection_id)


@router.post(
    "/connections/{connection_id}/duplicate",
    status_code=201,
    summary="Copy a connection",
    operation_id="duplicate_connection",
    responses=documented(404, 409, 507),
)
async def duplicate_connection(
    connection_id: ConnectionId, body: CopyRequest, services: ServicesDep, response: Response
) -> ConnectionView:
    """Make another connection like this one, key included, under another name."""
    made = await services.connections.duplicate(connection_id, body.name)
    response.headers["Location"] = f"{router.prefix}/connections/{made.id}"
    return made


@router.get(
    "/connections/{connection_id}/models",
    summary="List a service's models",
    operation_id="list_connection_models",
    responses=documented(404),
)
async def list_connection_models(
    connection_id: ConnectionId,
    services: ServicesDep,
    fresh: Annotated[bool, Query(description="Ask the service now")] = False,  # noqa: FBT002
) -> RemoteModelsView:
    """Return what the service lists now or listed lately, and how old that is.

    Where it never answered, `age_seconds` is null and the models are a few it is known to have.
    """
    return await services.connections.models(connection_id, fresh=fresh)
