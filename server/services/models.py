"""Registered models: what they declare, whether they can draw, and fetching their files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import structlog
from pydantic import Field

from server.domain.errors import AppError, ConflictError, ModelUnavailableError
from server.domain.images import Frozen, ModelId
from server.domain.models import ModelInfo, ModelState, Task
from server.registry import proposals
from server.registry.registry import Registry
from server.services.model_files import ModelFiles
from server.services.remote_models import Remote
from server.services.remotes import Remotes
from server.services.views import ModelView, PullView, model_view

log = structlog.get_logger(__name__)


class HubModel(Frozen):
    """A diffusers pipeline, or one SDXL checkpoint `file`, of a Hugging Face repo."""

    hub: str = Field(max_length=200, description="owner/name", examples=["owner/name"])
    family: Literal["sdxl", "flux"]
    task: Task = Field(default=Task.TEXT, description="What the checkpoint was made for")
    file: str | None = Field(default=None, max_length=200)
    id: ModelId | None = None
    name: str | None = Field(default=None, min_length=1, max_length=100)


class LocalModel(Frozen):
    """A file or diffusers folder that lies in the models' folder, such as an uploaded one."""

    file: str = Field(min_length=1, max_length=200, description="Its name in the models' folder")
    id: ModelId | None = None
    name: str | None = Field(default=None, min_length=1, max_length=100)


class Models:
    """The registry as the surfaces see it. Changing it is the admin's."""

    def __init__(
        self,
        registry: Registry,
        loaded: Callable[[], frozenset[str]],
        models_dir: Path,
        remotes: Remotes,
    ) -> None:
        self._registry = registry
        self._remotes = remotes
        self._loaded = loaded
        self._files = ModelFiles(models_dir)
        self._pulls: dict[str, PullView] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def list(self) -> tuple[ModelView, ...]:
        """Return every model, broken ones too: the registry's, then active connections."""
        here = [self._view(info.id) for info in self._registry.infos()]
        names = {model.id for model in here}
        remotes = (r for r in self._remotes.all() if r.connection.name not in names)
        return (*here, *map(_remote_view, remotes))

    def get(self, model_id: str | None) -> ModelView:
        """Return one model by id, alias or connection; None: the default.

        Raises:
            ModelNotFoundError: no such model; the message names near ones.
        """
        if model_id is not None and not self._registry.has(model_id):
            remote = self._remotes.get(model_id)
            if remote is not None:
                return _remote_view(remote)
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
        if state in (ModelState.UNPINNED, ModelState.UNSUPPORTED, ModelState.BROKEN):
            raise ModelUnavailableError(f"model '{info.id}' cannot be fetched: {reason}")
        self._pulls[info.id] = PullView(state="running", done_bytes=0, total_bytes=None, error=None)
        task = asyncio.create_task(self._pull(info.id), name=f"pull {info.id}")
        self._tasks[info.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(info.id, None))
        return self._view(info.id)

    async def add(self, model: HubModel | LocalModel) -> ModelView:
        """Register a model; one of the hub must still be pinned and fetched.

        Raises:
            ConflictError: its id is taken, by a model or a connection.
            RegistryError: it is not there, leads out of the models' folder, or is no model.
        """
        info = await asyncio.to_thread(self._add, model)
        return self._view(info.id)

    async def pin(self, model_id: str) -> ModelView:
        """Ask the hub which commit is the newest, and mean that one from now on.

        Raises:
            ModelUnavailableError: the hub does not tell.
        """
        await self._registry.pin(model_id)
        return self._view(self._registry.info(model_id).id)

    async def remove(self, model_id: str) -> None:
        """Remove a model and what was fetched for it; files that were brought stay.

        Raises:
            ConflictError: it is the default, or being fetched.
        """
        known = self._registry.info(model_id).id
        if known == self._registry.default:
            raise ConflictError(f"'{known}' is the default model; make another the default first")
        if known in self._tasks:
            raise ConflictError(f"model '{known}' is being fetched; try again when that has ended")
        await asyncio.to_thread(self._registry.remove, known)
        self._pulls.pop(known, None)
        log.info("model.removed", model=known)

    async def upload_file(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Keep a `.safetensors` file in the models' folder; see ModelFiles."""
        size_bytes = await self._files.keep(name, chunks)
        log.info("model.uploaded", size_bytes=size_bytes)
        return size_bytes

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

    def _add(self, model: HubModel | LocalModel) -> ModelInfo:
        if isinstance(model, HubModel):
            entry = proposals.from_hub(
                model.hub, model.family, task=model.task.value, file=model.file
            )
        else:
            entry = proposals.from_name(self._files.folder, model.file)
        if model.id is not None:
            entry["id"] = model.id
        if model.name is not None:
            entry["name"] = model.name
        if str(entry["id"]) in self._remotes.names:
            raise ConflictError(f"there is a connection '{entry['id']}'; choose another id")
        return self._registry.add(entry)

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


def _remote_view(remote: Remote) -> ModelView:
    """Return an active connection as the model that requests name."""
    reason = remote.reason
    state = ModelState.READY if reason is None else ModelState.BROKEN
    return model_view(remote.declared, state, reason, loaded=False, is_default=False, pull=None)
