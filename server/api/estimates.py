"""What a request would take, before it is one."""

from __future__ import annotations

from fastapi import APIRouter

from server.api.auth import CallerDep, ServicesDep
from server.api.jobs import RequestBody
from server.api.problems import documented
from server.services.views import EstimateView

router = APIRouter(prefix="/api/v1/estimates", tags=["jobs"])


@router.post(
    "",
    summary="Estimate a job",
    operation_id="estimate_job",
    responses=documented(404, 409),
)
async def estimate_job(body: RequestBody, caller: CallerDep, services: ServicesDep) -> EstimateView:
    """Return seconds of work and of waiting for the same body as a job; nothing is drawn.

    Seconds are null until this model has drawn its first picture on this machine.
    """
    return await services.generation.estimate(body, caller)
