"""Draws through a server: HTTP for what is asked, server-sent events for what happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal

import httpx2
from pydantic import BaseModel, ValidationError

from server.cli.console import FAILURE, USAGE, CommandError
from server.cli.drawing import News, Step, Waiting
from server.domain.events import Picture
from server.domain.images import ImageFormat, ImageRequest
from server.domain.jobs import JobError
from server.domain.money import Money
from server.domain.recipes import Recipe
from server.engine.messages import Sources

if TYPE_CHECKING:
    from server.cli.drawing import Drawer

_ANSWER_SECONDS = 30.0
_SILENCE_SECONDS = 60.0  # between two events; servers send comments to keep a stream open
_AWAY_SECONDS = 60.0  # how long a server may be away, say for a restart, before we give up
_RETRY_SECONDS = 0.5
_USAGE_STATUS = (400, 404, 422)


class _Parameter(BaseModel):
    name: str


class _Model(BaseModel):
    id: str
    is_default: bool
    parameters: tuple[_Parameter, ...]


class _Models(BaseModel):
    items: tuple[_Model, ...]


class _Image(BaseModel):
    id: str
    index: int
    width: int
    height: int
    format: ImageFormat
    duration_seconds: float
    recipe: Recipe
    url: str
    cost: Money | None = None  # servers before budgets say nothing of it


class _Job(BaseModel):
    id: str
    place: int | None
    total_steps: int


class _State(BaseModel):
    type: str
    image: _Image | None
    error: JobError | None


class _Progress(BaseModel):
    index: int
    step: int
    eta_seconds: float | None


class _Upload(BaseModel):
    id: str


class _Problem(BaseModel):
    detail: str


@asynccontextmanager
async def remote_drawer(url: str, key: str | None) -> AsyncIterator[Drawer]:
    """Open a connection to the server at `url`."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    timeout = httpx2.Timeout(_ANSWER_SECONDS, read=_SILENCE_SECONDS)
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=timeout) as client:
        yield RemoteDrawer(client)


class RemoteDrawer:
    """One server, one key."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def parameters(self, model: str | None) -> frozenset[str]:
        """Return what `model` takes, as the server declares it."""
        if model is not None:
            found = _Model.model_validate_json(await self._call("GET", f"/api/v1/models/{model}"))
        else:
            listed = _Models.model_validate_json(await self._call("GET", "/api/v1/models"))
            found = next(m for m in listed.items if m.is_default)
        return frozenset(parameter.name for parameter in found.parameters)

    async def draw(self, request: ImageRequest, sources: Sources) -> AsyncGenerator[News]:
        """Send the job and follow it to its end; closing this cancels it."""
        references = [await self._upload(data) for data in sources.references]
        given = {
            "image": await self._upload(sources.image),
            "mask": await self._upload(sources.mask),
            "references": tuple(found for found in references if found is not None),
        }
        request = request.model_copy(update=given)
        asked = request.model_dump(mode="json", exclude_none=True)
        job = _Job.model_validate_json(await self._call("POST", "/api/v1/jobs", json=asked))
        try:
            yield Waiting(_waiting(job))
            async for news in self._follow(_Watched(job.id, job.total_steps)):
                yield news
        except (asyncio.CancelledError, GeneratorExit):
            with suppress(CommandError):
                await self._call("DELETE", f"/api/v1/jobs/{job.id}")
            raise

    async def _upload(self, data: bytes | None) -> str | None:
        if data is None:
            return None
        body = await self._call("POST", "/api/v1/uploads", files={"file": data})
        return _Upload.model_validate_json(body).id

    async def _follow(self, watched: _Watched) -> AsyncIterator[News]:
        """Yield what happens until the job has ended; a server that is away is waited for."""
        heard_at = time.monotonic()
        while not watched.is_over:
            try:
                async for event in self._events(watched):
                    heard_at = time.monotonic()
                    async for news in self._news(watched, event):
                        yield news
            except httpx2.TransportError as error:
                if time.monotonic() - heard_at > _AWAY_SECONDS:
                    raise self._away(error) from error
                yield Waiting("The server does not answer. Trying again")
            if not watched.is_over:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _events(self, watched: _Watched) -> AsyncIterator[httpx2.ServerSentEvent]:
        headers = {"Accept": "text/event-stream"}
        if watched.last_event_id:
            headers["Last-Event-ID"] = watched.last_event_id
        path = f"/api/v1/jobs/{watched.job_id}/events"
        async with self._client.stream("GET", path, headers=headers) as response:
            if response.is_error:
                await response.aread()
                raise _refused(response)
            async for event in httpx2.EventSource(response):
                yield event

    async def _news(self, watched: _Watched, event: httpx2.ServerSentEvent) -> AsyncIterator[News]:
        if event.event == "progress":
            yield watched.step(_Progress.model_validate_json(event.data))
        elif event.event == "state":
            state = _State.model_validate_json(event.data)
            if state.image is not None and state.image.index not in watched.had:
                yield await self._picture(state.image)
                watched.had.add(state.image.index)
            elif state.type == "requeued":
                yield Waiting("The worker ended. Starting again")
            watched.take(state, event.id)  # last, so that a lost file is asked for again

    async def _picture(self, image: _Image) -> Picture:
        response = await self._client.get(image.url)
        if response.is_error:
            raise _refused(response)
        return Picture(
            index=image.index,
            data=response.content,
            format=image.format,
            width=image.width,
            height=image.height,
            recipe=image.recipe,
            duration_seconds=image.duration_seconds,
            device_seconds=image.duration_seconds,
            cost=image.cost,
        )

    async def _call(
        self,
        method: Literal["GET", "POST", "DELETE"],
        path: str,
        *,
        json: object = None,
        files: dict[str, bytes] | None = None,
    ) -> bytes:
        try:
            response = await self._client.request(method, path, json=json, files=files)
        except httpx2.TransportError as error:
            raise self._away(error) from error
        if response.is_error:
            raise _refused(response)
        return response.content

    def _away(self, error: httpx2.TransportError) -> CommandError:
        why = f": {error}" if str(error) else ""
        return CommandError(f"the server at {self._client.base_url} does not answer{why}")


class _Watched:
    """How far the job is, as far as it was heard."""

    def __init__(self, job_id: str, total_steps: int) -> None:
        self.job_id = job_id
        self.had: set[int] = set()
        self.is_over = False
        self.last_event_id = ""
        self._total_steps = total_steps
        self._steps: dict[int, int] = {}

    def step(self, progress: _Progress) -> Step:
        """Take in one picture's step and return that of the whole job."""
        self._steps[progress.index] = progress.step
        return Step(sum(self._steps.values()), self._total_steps, progress.eta_seconds)

    def take(self, state: _State, event_id: str) -> None:
        """Take in a state.

        Raises:
            CommandError: the job ended without all its pictures.
        """
        self.last_event_id = event_id
        if state.type in ("failed", "cancelled"):
            said = state.error
            raise CommandError(
                f"{said.title}: {said.detail}" if said else "somebody else cancelled the job",
                exit_code=FAILURE,
            )
        self.is_over = state.type == "succeeded"


def _waiting(job: _Job) -> str:
    if job.place is None or job.place <= 1:
        return "Starting"
    return f"Starts after {job.place - 1} other {'job' if job.place == 2 else 'jobs'}"


def _refused(response: httpx2.Response) -> CommandError:
    """Return what the server said, in its own words where it is one of ours."""
    if response.status_code == httpx2.codes.UNAUTHORIZED:
        return CommandError("the server wants a valid key; give --key or set GREENROOM_KEY")
    exit_code = USAGE if response.status_code in _USAGE_STATUS else FAILURE
    try:
        problem = _Problem.model_validate_json(response.content)
    except ValidationError:
        message = f"{response.url} answered {response.status_code}; is that a Greenroom server?"
        return CommandError(message)
    return CommandError(problem.detail, exit_code=exit_code)
