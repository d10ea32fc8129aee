"""Chains: who may draw where a model cannot, and how connections do. For administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from server.api.auth import ServicesDep
from server.api.lists import ItemList
from server.api.problems import documented
from server.domain.images import Frozen, ModelId
from server.services.circuits import ConnectionHealthView
from server.services.route_views import ChainView

router = APIRouter(prefix="/api/v1/chains", tags=["connections"])
health_router = APIRouter(prefix="/api/v1/connections", tags=["connections"])

MAX_MEMBERS = 8
Named = Annotated[ModelId, Path(description="A model's id or alias, or a connection's name")]
NamedConnection = Annotated[
    str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Id or name of a connection")
]


class ChainRequest(Frozen):
    """A chain to set; empty: nobody draws instead."""

    members: tuple[ModelId, ...] = Field(
        max_length=MAX_MEMBERS, description="Models and connections in the order they are asked"
    )


@router.get("", summary="List chains", operation_id="list_chains")
async def list_chains(services: ServicesDep) -> ItemList[ChainView]:
    """Return every chain: those set here, then those of models.yaml."""
    return ItemList(items=await services.chains.list(), next_cursor=None)


@router.get(
    "/{model_id}", summary="Look at a chain", operation_id="get_chain", responses=documented(404)
)
async def get_chain(model_id: Named, services: ServicesDep) -> ChainView:
    """Return who may draw where this model cannot."""
    return await services.chains.get(model_id)


@router.put(
    "/{model_id}", summary="Set a chain", operation_id="set_chain", responses=documented(404, 507)
)
async def set_chain(model_id: Named, body: ChainRequest, services: ServicesDep) -> ChainView:
    """Set who may draw instead, for requests that come from now on."""
    return await services.chains.put(model_id, body.members)


@router.delete(
    "/{model_id}",
    status_code=204,
    summary="Forget a chain",
    operation_id="remove_chain",
    responses=documented(404, 507),
)
async def remove_chain(model_id: Named, services: ServicesDep) -> None:
    """Go back to what models.yaml says."""
    await services.chains.remove(model_id)


@health_router.get(
    "/{connection_id}/health",
    summary="How a connection does",
    operation_id="get_connection_health",
    responses=documented(404),
)
async def get_connection_health(
    connection_id: NamedConnection, services: ServicesDep
) -> ConnectionHealthView:
    """Return whether calls pass, the last error, and what waits; nothing is asked of the service.

    `POST .../test` asks it.
    """
    return await services.circuits.get(connection_id)
