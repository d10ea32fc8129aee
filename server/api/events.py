"""Server-sent events: what happens, as it happens, and what was missed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from server.api.auth import CallerDep, ServicesDep
from server.api.jobs import JobId
from server.api.problems import documented
from server.domain.keys import Caller
from server.services.services import Services
from server.services.streams import StreamEvent

router = APIRouter(prefix="/api/v1", tags=["events"])

_MAX_EVENT_ID = 2**63 - 1  # what a database keeps
_STREAM = {
    "description": "`event: state` (data: StateView, with id), `event: progress` (ProgressView), "
    "`event: preview` (PreviewView); a comment every 15 seconds while nothing happens",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


def _after(
    last_event_id: Annotated[
        int | None,
        Header(
            ge=0,
            le=_MAX_EVENT_ID,
            description="Id of the last state you saw: all later ones are sent first",
        ),
    ] = None,
    after: Annotated[
        int | None,
        Query(
            ge=0,
            le=_MAX_EVENT_ID,
            description="The same, for clients that cannot set the header; the header wins",
        ),
    ] = None,
) -> int | None:
    return after if last_event_id is None else last_event_id


async def _own_job(job_id: JobId, caller: CallerDep, services: ServicesDep) -> str:
    """Answer 404 here, before the stream: once it has begun its status cannot change."""
    return (await services.generation.job(job_id, caller)).id


After = Annotated[int | None, Depends(_after)]


@router.get(
    "/events",
    summary="Follow all your jobs",
    operation_id="stream_events",
    response_class=EventSourceResponse,
    responses={200: _STREAM},
)
async def stream_events(
    caller: CallerDep, services: ServicesDep, after: After
) -> AsyncIterator[ServerSentEvent]:
    """Send the states of unfinished jobs, or all after an id; then whatever happens."""
    async for event in _events(services, caller, None, after):
        yield event


@router.get(
    "/jobs/{job_id}/events",
    summary="Follow one job",
    operation_id="stream_job_events",
    response_class=EventSourceResponse,
    responses={200: _STREAM, **documented(404)},
)
async def stream_job_events(
    job_id: Annotated[str, Depends(_own_job)],
    caller: CallerDep,
    services: ServicesDep,
    after: After,
) -> AsyncIterator[ServerSentEvent]:
    """Send one job's states, then its progress and previews; ends with the job."""
    async for event in _events(services, caller, job_id, after):
        yield event


async def _events(
    services: Services, caller: Caller, job_id: str | None, after: int | None
) -> AsyncIterator[ServerSentEvent]:
    # A listener that is gone cancels this generator, which closes the subscription at once.
    async with aclosing(services.streams.subscribe(caller, job_id=job_id, after=after)) as events:
        async for event in events:
            yield _sent(event)


def _sent(event: StreamEvent) -> ServerSentEvent:
    return ServerSentEvent(
        event=event.type,
        id=None if event.id is None else str(event.id),
        raw_data=event.data.model_dump_json(),
    )
