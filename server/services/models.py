"""Registered models: what they declare, whether they can draw, and fetching their files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from server.domain.errors import AppError, ConflictError, ModelUnavailableError
from server.domain.models import ModelState
from server.registry.registry import Registry
from server.services.views import ModelView, PullView, model_view

log = structlog.get_logger(__name__)


class Models:
    """The registry as the surfaces see it. Changing it is the admin's."""

    def __init__(self, registry: Registry, loaded: Callable[[], frozenset[str]]) -> None:
        self._registry = registry
        self._loaded = loaded
        self._pulls: dict[str, PullView] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def list(self) -> tuple[ModelView, ...]:
        """Return every model, broken ones too, in the order of the registry."""
        return tuple(self._view(info.id) for info in self._registry.infos())

    def get(self, model_id: str | None) -> ModelView:
        """Return one model by id or alias; None: the default.

        Raises:
            ModelNotFoundError: no such model; the message names near ones.
        """
        return self._view(self._registry.info(model_id).id)

    def pull(self, model_id: str) -> ModelView:
        """Begin to fetch a model's files; `pull` of the model tells how far it is.

        Raises:
            ConflictError: it is being fetched already.
            ModelUnavailableError: it cannot be fetched as it is; the reason says what to do.
        """
        info = self._registry.info(model_id)
        if info.id in self._tasks:
            raise ConflictError(f"model '{info.id}' is being fetched already")
        state, reason = self._registry.status(info.id)
        if state in (ModelState.UNPINNED, ModelState.BROKEN):
            raise ModelUnavailableError(f"model '{info.id}' cannot be fetched: {reason}")
        self._pulls[info.id] = PullView(state="running", done_bytes=0, total_bytes=None, error=None)
        task = asyncio.create_task(self._pull(info.id), name=f"pull {info.id}")
        self._tasks[info.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(info.id, None))
        return self._view(info.id)

    def prepare_default(self) -> None:
        """Make the default model if it is one that needs no download."""
        with suppress(AppError):  # readiness tells what is wrong with it
            default = self._registry.info(None).id
            state, _ = self._registry.status(default)
            if state is ModelState.MISSING and self._registry.is_made_here(default):
                self.pull(default)

    async def stop(self) -> None:
        """End running fetches; what was fetched so far is kept and taken up again later."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pull(self, model_id: str) -> None:
        def progress(done_bytes: int, total_bytes: int | None) -> None:
            self._pulls[model_id] = PullView(
                state="running", done_bytes=done_bytes, total_bytes=total_bytes, error=None
            )

        try:
            await self._registry.pull(model_id, progress)
        except AppError as error:
            log.warning("model.pull_failed", model=model_id, reason=error.detail)
            self._pulls[model_id] = self._pulls[model_id].model_copy(
                update={"state": "failed", "error": error.detail}
            )
        else:
            log.info("model.pulled", model=model_id)
            del self._pulls[model_id]

    def _view(self, model_id: str) -> ModelView:
        state, reason = self._registry.status(model_id)
        return model_view(
            self._registry.info(model_id),
            state,
            reason,
            loaded=model_id in self._loaded(),
            is_default=model_id == self._registry.default,
            pull=self._pulls.get(model_id),
        )
