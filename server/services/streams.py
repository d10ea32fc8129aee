"""Events for listeners: first the states, then the present, then whatever happens.

A listener pulls: it is only told that something changed, and then reads the newest. A slow one
therefore costs nothing and misses no state, only steps that are no longer true.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

from server.domain.errors import NotFoundError
from server.domain.keys import Caller
from server.domain.streams import StateEvent
from server.services.active import ActiveJob, ActiveJobs
from server.services.dispatcher import Dispatcher
from server.services.views import PreviewView, ProgressView, StateView, image_view
from server.store.store import Store

_FINAL = ("succeeded", "failed", "cancelled")
_REMEMBERED = 2000  # newest state events kept in memory, so that live listeners read no database
_PAGE = 500


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event as it is sent; only states have an id, since only they are replayed."""

    id: int | None
    type: Literal["state", "progress", "preview"]
    data: StateView | ProgressView | PreviewView


@dataclass(slots=True)
class _Position:
    """How far one listener has come."""

    state_id: int
    version: int
    ended: set[str] = field(default_factory=set)


class Streams:
    """Gives every listener its owner's events."""

    def __init__(self, store: Store, active: ActiveJobs, dispatcher: Dispatcher) -> None:
        self._store = store
        self._active = active
        self._dispatcher = dispatcher
        self._recent: deque[StateEvent] = deque(maxlen=_REMEMBERED)
        self._closed = False
        store.on_event = self._on_event

    def close(self) -> None:
        """End all streams: the server stops. Listeners come back and miss nothing."""
        self._closed = True
        self._active.notify_all()

    async def subscribe(
        self, caller: Caller, *, job_id: str | None = None, after: int | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield the caller's events; with `job_id` only that job's, ending after its last.

        Args:
            caller: sees its owner's jobs alone.
            job_id: one job.
            after: the last id the listener has seen; every later state is sent. None: the states
                of the job, or of all unfinished jobs.

        Raises:
            NotFoundError: no such job of the caller's.
        """
        over = job_id is not None and await self._is_over(job_id, caller)
        changed = self._active.watch(caller.owner)
        try:
            position = _Position(await self._store.events.latest_id(), 0)
            async for event in self._beginning(caller, job_id, after, position):
                yield event
            while not (self._closed or over or job_id in position.ended):
                async for event in self._news(caller, job_id, position):
                    yield event
                if job_id is not None and job_id in position.ended:
                    return
                await changed.wait()
                changed.clear()
        finally:
            self._active.unwatch(changed)

    async def _is_over(self, job_id: str, caller: Caller) -> bool:
        job = await self._store.jobs.get(job_id, caller.owner)
        if job is None:
            raise NotFoundError(f"no job '{job_id}'")
        return job.state.is_final

    async def _beginning(
        self, caller: Caller, job_id: str | None, after: int | None, position: _Position
    ) -> AsyncIterator[StreamEvent]:
        if job_id is None and after is None:
            mine = [a.job.id for a in self._active if a.job.owner == caller.owner]
            for one in mine:
                async for event in self._replay(caller, one, 0, position):
                    yield event
        else:
            async for event in self._replay(caller, job_id, after or 0, position):
                yield event

    async def _replay(
        self, caller: Caller, job_id: str | None, after: int, position: _Position
    ) -> AsyncIterator[StreamEvent]:
        """Yield stored states after `after` up to where the live part begins."""
        while True:
            rows = await self._store.events.after(caller.owner, after, job_id=job_id, limit=_PAGE)
            for row in rows:
                if row.id > position.state_id:
                    return
                yield await self._state(row, position)
                after = row.id
            if len(rows) < _PAGE:
                return

    async def _news(
        self, caller: Caller, job_id: str | None, position: _Position
    ) -> AsyncIterator[StreamEvent]:
        version = self._active.version
        present = list(self._present(caller, job_id, position.version))
        for row in await self._states_after(position.state_id, caller.owner, job_id):
            yield await self._state(row, position)
            position.state_id = row.id
        for event in present:
            if event.data.job_id not in position.ended:
                yield event
        position.version = version

    async def _states_after(
        self, state_id: int, owner: str, job_id: str | None
    ) -> list[StateEvent]:
        recent = self._recent
        if recent and recent[-1].id <= state_id:
            return []
        if recent and recent[0].id <= state_id + 1:
            return [
                row
                for row in recent
                if row.id > state_id and row.owner == owner and job_id in (None, row.job_id)
            ]
        return await self._store.events.after(owner, state_id, job_id=job_id, limit=_PAGE)

    def _present(self, caller: Caller, job_id: str | None, version: int) -> list[StreamEvent]:
        return [
            event
            for active in self._active
            if active.job.owner == caller.owner and job_id in (None, active.job.id)
            for event in self._changes(active, version)
        ]

    def _changes(self, active: ActiveJob, version: int) -> list[StreamEvent]:
        changes: list[StreamEvent] = []
        for index, live in active.live.items():
            if index in active.stored:
                continue
            if live.version > version:
                progress = ProgressView(
                    job_id=active.job.id,
                    index=index,
                    step=live.step,
                    total_steps=live.total_steps,
                    eta_seconds=self._dispatcher.outlook(active.job.id).eta_seconds,
                )
                changes.append(StreamEvent(None, "progress", progress))
            if live.preview is not None and live.preview_version > version:
                preview = PreviewView(
                    job_id=active.job.id,
                    index=index,
                    media_type="image/jpeg",
                    data=base64.b64encode(live.preview).decode(),
                )
                changes.append(StreamEvent(None, "preview", preview))
        return changes

    async def _state(self, row: StateEvent, position: _Position) -> StreamEvent:
        if row.type in _FINAL:
            position.ended.add(row.job_id)
        image = None
        if row.image_id is not None:
            # Deleted since: the event stays true, only the picture is gone.
            image = await self._store.images.get(row.image_id, row.owner)
        view = StateView(
            id=row.id,
            job_id=row.job_id,
            type=row.type,
            at=row.at,
            image=None if image is None else image_view(image),
            error=row.error,
        )
        return StreamEvent(row.id, "state", view)

    def _on_event(self, event: StateEvent) -> None:
        self._recent.append(event)
        self._active.notify(event.owner)
