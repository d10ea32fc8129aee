"""Jobs: ask for pictures, look, cancel."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Body, Header, Path, Query, Response

from server.api.auth import CallerDep, ServicesDep
from server.api.lists import Cursor, ItemList, Limit, item_list
from server.api.problems import documented
from server.domain.images import Id, ImageRequest
from server.domain.jobs import JobState
from server.services.views import JobView

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

MAX_WAIT_SECONDS = 600
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\b", re.IGNORECASE)
_STATES = "|".join(state.value for state in JobState)
_EXAMPLES = {
    "shortest": {"summary": "The default model decides the rest", "value": {"prompt": "a fox"}},
    "settled": {
        "summary": "The same picture every time",
        "value": {
            "prompt": "a lighthouse at dusk, watercolour",
            "width": 512,
            "height": 512,
            "seed": 7,
            "format": "webp",
        },
    },
}
_LINKS = {"Location": {"description": "Address of the job", "schema": {"type": "string"}}}

RequestBody = Annotated[ImageRequest, Body(openapi_examples=_EXAMPLES)]
JobId = Annotated[Id, Path(description="Id of a job")]
Prefer = Annotated[
    str | None,
    Header(
        max_length=200,
        description=f"`wait=60` answers once the job has ended, or after that many seconds "
        f"(at most {MAX_WAIT_SECONDS})",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="Any text of yours: the same request sent again with it is the same job",
    ),
]


@router.post(
    "",
    status_code=202,
    summary="Ask for pictures",
    operation_id="create_job",
    responses={
        200: {"model": JobView, "description": "The job has ended already", "headers": _LINKS},
        202: {"description": "The job is kept and will be drawn", "headers": _LINKS},
        **documented(402, 404, 409, 429, 507),
    },
)
async def create_job(
    body: RequestBody,
    caller: CallerDep,
    services: ServicesDep,
    response: Response,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Keep a job and answer at once, or with `Prefer: wait` when it has ended.

    Whatever the request leaves out is the model's declared default; `resolved` in the answer
    shows what will run. What the model does not take is refused by name.
    """
    job = await services.generation.submit(body, caller, idempotency_key=idempotency_key)
    seconds = wait_seconds(prefer)
    if seconds:
        job = await services.generation.wait(job.id, caller, seconds)
        response.headers["Preference-Applied"] = f"wait={seconds}"
    response.status_code = 200 if job.state.is_final else 202
    response.headers["Location"] = f"{router.prefix}/{job.id}"
    return job


@router.get("", summary="List jobs", operation_id="list_jobs")
async def list_jobs(
    caller: CallerDep,
    services: ServicesDep,
    cursor: Cursor = None,
    limit: Limit = 50,
    state: Annotated[
        str | None,
        Query(
            pattern=rf"^({_STATES})(,({_STATES})){{0,4}}$",
            description="Only jobs in these states, separated by commas",
            examples=["queued,running"],
        ),
    ] = None,
) -> ItemList[JobView]:
    """Return your jobs, newest first."""
    states = [JobState(name) for name in state.split(",")] if state else []
    page = await services.generation.jobs(caller, cursor=cursor, limit=limit, states=states)
    return item_list(page)


@router.get("/{job_id}", summary="Look at a job", operation_id="get_job", responses=documented(404))
async def get_job(job_id: JobId, caller: CallerDep, services: ServicesDep) -> JobView:
    """Return one job with its place, its progress and its pictures so far."""
    return await services.generation.job(job_id, caller)


@router.delete(
    "/{job_id}", summary="Cancel a job", operation_id="cancel_job", responses=documented(404)
)
async def cancel_job(job_id: JobId, caller: CallerDep, services: ServicesDep) -> JobView:
    """Stop a job within one step; pictures that are done stay. An ended job stays as it is."""
    return await services.generation.cancel(job_id, caller)


def wait_seconds(prefer: str | None) -> int:
    """Return N of `Prefer: wait=N` (RFC 7240), 0 where it is not asked for."""
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), MAX_WAIT_SECONDS) if found else 0
