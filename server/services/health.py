"""Whether this server can draw now, and if not, what is missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from server.domain.errors import AppError
from server.domain.models import ModelState
from server.services.active import ActiveJobs
from server.services.models import Models
from server.services.runner import Runner
from server.services.workers import Workers
from server.store.store import Store


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold; `problem` is None when it does."""

    name: str
    problem: str | None


class Health:
    """Answers readiness; liveness is that this process answers at all."""

    def __init__(
        self,
        store: Store,
        models: Models,
        workers: Workers,
        active: ActiveJobs,
        runner: Runner,
    ) -> None:
        self._store = store
        self._models = models
        self._workers = workers
        self._active = active
        self._runner = runner

    async def checks(self) -> tuple[Check, ...]:
        """Return every check, failed or not."""
        return (
            Check("storage", await self._storage()),
            Check("worker", self._worker()),
            Check("model", await self._model()),
        )

    async def notes(self) -> tuple[Check, ...]:
        """Return what does not keep this server from drawing, but should be looked at."""
        return (Check("connections", await self._connections()),)

    def jobs_by_state(self) -> Counter[str]:
        """Return how many unfinished jobs there are in each state."""
        return Counter(active.job.state.value for active in self._active)

    async def _storage(self) -> str | None:
        if self._runner.storage_problem is not None:
            return self._runner.storage_problem
        try:
            await self._store.check()
        except AppError as error:
            return error.detail
        return None

    async def _connections(self) -> str | None:
        try:
            return await self._store.sealing.trouble()
        except AppError:
            return None  # storage: another check says so

    def _worker(self) -> str | None:
        if self._workers.is_any_ready():
            return None
        said = (f"{w.id} is {w.state}: {w.last_error or 'no error'}" for w in self._workers.list())
        return "; ".join(said) or "no worker is set up"

    async def _model(self) -> str | None:
        try:
            default = self._models.get(None)
        except AppError as error:
            return error.detail
        if default.state is ModelState.READY:
            return None
        return f"the default model '{default.id}' is {default.state.value}: {default.reason or ''}"
