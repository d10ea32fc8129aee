"""One job on another Greenroom: followed to its end, over however many connections."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import httpx2

from server.domain.errors import ProviderError, ProviderUnreachableError
from server.domain.events import Event, Picture, Preview, Progress, Started
from server.domain.provider import SERVER_ENDS
from server.providers import greenroom_answers as answers
from server.providers.finishing import MAX_PICTURE_BYTES, Maker
from server.providers.http import Answer, Call, Service

_QUIET_SECONDS = 45.0  # a comment comes every 15
_AWAY_SECONDS = 60.0  # how long a server may be gone, such as while it starts again
_PAUSE_SECONDS = 0.5
_PICTURE_SECONDS = 120.0
_CANCEL_SECONDS = 5.0


class RemoteJob:
    """Turns a job's events there into ours.

    Args:
        service: the other server.
        job_id: of the job there.
        maker: writes its pictures as ours.
        seconds: most time for all of it.
    """

    def __init__(self, service: Service, job_id: str, maker: Maker, seconds: float) -> None:
        self._service = service
        self._path = f"/api/v1/jobs/{job_id}"
        self._maker = maker
        self._end = time.monotonic() + seconds
        self._began: dict[int, float] = {}
        self._had: set[int] = set()
        self._last_event_id = ""
        self._is_over = False
        self._failure: ProviderError | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield what happens until the job has ended; leaving earlier cancels it there.

        It draws on there where this server ends meanwhile: after the start it is taken up again.

        Raises:
            ProviderError: it failed, was cancelled by somebody else, or the server is gone.
        """
        gone_since: float | None = None
        draws_on = False
        try:
            while not self._is_over:
                began, heard = time.monotonic(), False
                problem: ProviderError | None = None
                try:
                    async with aclosing(self._connection()) as events:
                        async for event in events:
                            heard = True
                            yield event
                except ProviderUnreachableError as error:
                    problem = error
                if not self._is_over:
                    now = time.monotonic()
                    # Comments keep a quiet line alive, and are not heard here: one that lasted
                    # was there.
                    if gone_since is None or heard or now - began > 2 * _QUIET_SECONDS:
                        gone_since = now
                    self._check_patience(now, gone_since, problem)
                    await asyncio.sleep(_PAUSE_SECONDS)
        except asyncio.CancelledError as error:
            draws_on = SERVER_ENDS in error.args
            raise
        finally:
            if not (self._is_over or draws_on):
                await self._cancel()
        if self._failure is not None:
            raise self._failure

    def _check_patience(self, now: float, gone_since: float, problem: ProviderError | None) -> None:
        if now < self._end and now - gone_since <= _AWAY_SECONDS:
            return
        raise ProviderUnreachableError(
            f"{self._service.name} is gone while it draws" if problem is None else problem.detail,
            may_have_billed=True,  # it may draw on without us
        )

    async def _cancel(self) -> None:
        with suppress(ProviderError):
            await self._service.send(Call("DELETE", self._path, seconds=_CANCEL_SECONDS))

    async def _connection(self) -> AsyncGenerator[Event, None]:
        left = self._end - time.monotonic()
        if left <= 0:
            raise ProviderUnreachableError(
                f"{self._service.name} did not finish the job in time", may_have_billed=True
            )
        headers = {"Last-Event-ID": self._last_event_id} if self._last_event_id else {}
        call = Call(
            "GET",
            f"{self._path}/events",
            headers=headers,
            accepts=("text/event-stream",),
            seconds=left,
            quiet_seconds=_QUIET_SECONDS,
        )
        async with aclosing(self._service.events(call)) as source:
            async for sent in source:
                if isinstance(sent, Answer):
                    continue
                async for event in self._taken(sent):
                    yield event

    async def _taken(self, sent: httpx2.ServerSentEvent) -> AsyncGenerator[Event, None]:
        name = self._service.name
        if sent.event == "progress":
            progress = answers.read(answers.Progress, sent.data, name)
            for started in self._started(progress.index, progress.total_steps):
                yield started
            yield Progress(progress.index, progress.step, progress.total_steps)
        elif sent.event == "preview":
            shown = answers.read(answers.Preview, sent.data, name)
            for started in self._started(shown.index, 1):
                yield started
            with suppress(binascii.Error, ValueError):
                yield Preview(shown.index, base64.b64decode(shown.data))
        elif sent.event == "state":
            state = answers.read(answers.State, sent.data, name)
            if state.image is not None and self._is_wanted(state.image.index):
                for started in self._started(state.image.index, 1):
                    yield started
                yield await self._picture(state.image)
                self._had.add(state.image.index)
            self._last_event_id = sent.id  # last, so that a lost file is asked for again
            self._end_with(state)

    def _is_wanted(self, index: int) -> bool:
        return index < self._maker.request.num_images and index not in self._had

    def _started(self, index: int, total_steps: int) -> list[Started]:
        if index in self._began:
            return []
        self._began[index] = time.monotonic()
        return [Started(index, total_steps)]

    def _end_with(self, state: answers.State) -> None:
        if state.type in ("failed", "cancelled"):
            self._failure = answers.failure(state.error, self._service.name)
        self._is_over = self._is_over or state.type in ("succeeded", "failed", "cancelled")

    async def _picture(self, image: answers.Image) -> Picture:
        call = Call(
            "GET",
            f"/api/v1/images/{image.id}/file",
            accepts=("image/png",),
            max_bytes=MAX_PICTURE_BYTES,
            seconds=_PICTURE_SECONDS,
        )
        data = (await self._service.send(call)).body
        seconds = time.monotonic() - self._began[image.index]
        return await self._maker.picture(
            image.index, data, seconds=seconds, cost=None, facts=answers.engine_of(image.recipe)
        )
