"""The local engine as a Provider: keeps one worker process alive and draws with it. Torch-free."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from enum import StrEnum
from pathlib import Path

import structlog

from server.domain.errors import AppError, NotFoundError, TooLargeError, WorkerDiedError
from server.domain.events import Event, Failed
from server.domain.images import ResolvedRequest
from server.domain.models import EngineModel, Family, ModelInfo
from server.domain.provider import Estimate, Refusal
from server.domain.rates import Rates
from server.domain.row_times import RowTimes
from server.domain.work import flops
from server.engine.messages import (
    NO_LIMITS,
    Draw,
    DrawAdapter,
    Lend,
    Limits,
    Preload,
    Residents,
    Sources,
    Unload,
)
from server.engine.process import WorkerProcess
from server.engine.schedulers import OWN, SCHEDULERS
from server.engine.session import Session
from server.engine.wire import FrameTooLargeError

_FIRST_WAIT_SECONDS = 0.5
_MOST_WAIT_SECONDS = 30.0


class WorkerState(StrEnum):
    """Where a worker is in its life."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


class EngineWorker:
    """One device and the process that draws on it.

    The process is started again whenever it ends, at once if it had been ready, else after a
    growing wait.

    Args:
        worker_id: what it is called.
        device: on which it draws.
        infos: the models that there are.
        engine_model: what the process must know to load one.
        rates: what was measured, for estimates.
        load_source: returns a source picture's file by its id.
        adapter_file: where an adapter's file lies, by its SHA-256; None: there are none.
        row_times: curves of earlier processes, and what is learned now.
        limits: how much memory it may take.
        on_change: called when its state changes.
        preview_interval_seconds: shortest time between two previews of one picture.
        ping_timeout_seconds: how long the process may be silent.
        stall_timeout_seconds: how long it may be in one piece of work.
        log: where it notes its life.
    """

    def __init__(
        self,
        worker_id: str,
        device: str,
        *,
        infos: Callable[[], Sequence[ModelInfo]],
        engine_model: Callable[[str], EngineModel],
        rates: Rates,
        load_source: Callable[[str], Awaitable[bytes]],
        adapter_file: Callable[[str], Path] | None = None,
        row_times: RowTimes | None = None,
        limits: Limits = NO_LIMITS,
        on_change: Callable[[], None] = lambda: None,
        preview_interval_seconds: float = 0.5,
        ping_timeout_seconds: float = 30.0,
        stall_timeout_seconds: float = 900.0,
        log: structlog.stdlib.BoundLogger | None = None,
    ) -> None:
        self.id = worker_id
        self.device = device
        self.epoch = 0  # counts starts
        self.state = WorkerState.STOPPED
        self.in_flight = 0
        self.last_error: str | None = None
        self._infos = infos
        self._engine_model = engine_model
        self._rates = rates
        self._load_source = load_source
        self._adapter_file = adapter_file or _no_adapter
        self._row_times = row_times or RowTimes()
        self._limits = limits
        self._on_change = on_change
        self._preview_interval_seconds = preview_interval_seconds
        self._ping_timeout_seconds = ping_timeout_seconds
        self._stall_timeout_seconds = stall_timeout_seconds
        self._log = (log or structlog.get_logger(__name__)).bind(worker=worker_id)
        self._numbers = itertools.count(1)
        self._session: Session | None = None
        self._settled = asyncio.Event()  # ready, or stopped: nothing to wait for
        self._settled.set()
        self._life: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it draws at once."""
        return self.state is WorkerState.READY

    @property
    def pid(self) -> int | None:
        """The process's id while there is one."""
        return None if self._session is None else self._session.process.pid

    @property
    def loaded_models(self) -> tuple[str, ...]:
        """Ids of the models in the device's memory, least recently used first."""
        return () if self._session is None else self._session.memory.models

    @property
    def loading_model(self) -> str | None:
        """Id of the model that is being loaded now."""
        return None if self._session is None else self._session.memory.loading

    @property
    def memory(self) -> Residents | None:
        """What is in the worker's memory, as it said last; None: there is no process."""
        return None if self._session is None else self._session.memory

    @property
    def held_models(self) -> tuple[str, ...]:
        """Ids of models whose pictures wait for memory that was lent."""
        return () if self._session is None else self._session.memory.held

    async def preload(self, model_id: str) -> None:
        """Load a model before anybody draws with it.

        Raises:
            ModelNotFoundError, ModelUnavailableError: see the registry.
            GpuMemoryError: it does not fit.
            WorkerDiedError: the process ended meanwhile.
        """
        model = self._engine_model(model_id)
        session = await self._drawing_session()
        await session.do(Preload(chore=next(self._numbers), model=model))

    async def unload(self, model_id: str) -> None:
        """Give a model up, on the device and beside it, once nobody draws with it."""
        if self._session is not None:
            await self._session.do(Unload(chore=next(self._numbers), model=model_id))

    @asynccontextmanager
    async def lend(self, size_bytes: int, *, taken_bytes: int = 0) -> AsyncIterator[asyncio.Event]:
        """Have so much of the device free for somebody else inside.

        Args:
            size_bytes: how much in all.
            taken_bytes: how much of it they have already.

        Yields:
            what is set when the process that lends has ended.

        Raises:
            GpuMemoryError: it has not so much.
            WorkerDiedError: the process ended; what it lent is free all the same, but the next
                process knows nothing of it.
        """
        number = next(self._numbers)
        session = await self._drawing_session()
        try:
            await session.do(Lend(chore=number, size_bytes=size_bytes, taken_bytes=taken_bytes))
            yield session.over
        finally:
            session.take_back(number)

    async def start(self) -> None:
        """Start the process; returns at once, see `ready`."""
        if self._life is None:
            self._enter(WorkerState.STARTING)
            self._life = asyncio.create_task(self._live())

    async def stop(self) -> None:
        """End the process. What is under way raises WorkerDiedError."""
        life, self._life = self._life, None
        self._enter(WorkerState.STOPPED)  # first: nobody should draw with what is ending
        if life is not None:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

    async def ready(self) -> None:
        """Wait until the worker draws.

        Raises:
            WorkerDiedError: it was stopped.
        """
        while self.state is not WorkerState.READY:
            if self.state is WorkerState.STOPPED:
                raise WorkerDiedError(f"worker {self.id} is stopped")
            await self._settled.wait()

    async def models(self) -> Sequence[ModelInfo]:
        """See Provider."""
        return self._infos()

    def refusal(self, request: ResolvedRequest) -> Refusal | None:
        """See Provider."""
        family = self._family(request.model)
        if family is None or family not in SCHEDULERS:
            return Refusal("model", f"no model '{request.model}' is drawn on this machine")
        names = SCHEDULERS[family]
        if request.scheduler not in (None, OWN, *names):
            return Refusal(
                "scheduler",
                f"no scheduler '{request.scheduler}' for {family.value}; there are "
                f"{', '.join(names)}",
            )
        if request.strength is not None and request.image is None:
            return Refusal("strength", "strength needs an image to start from")
        return None

    async def estimate(self, request: ResolvedRequest) -> Estimate:
        """See Provider."""
        work = flops(self._family(request.model) or Family.REMOTE, request)
        return Estimate(self._rates.seconds(request.model, work), work)

    async def generate(self, request: ResolvedRequest) -> AsyncGenerator[Event, None]:
        """See Provider. Waits while the worker starts; closing cancels within one step.

        Raises:
            WorkerDiedError: the process ended; `started` tells whether it was at work on this.
        """
        self.in_flight += 1
        try:
            async with aclosing(self._events(request)) as events:
                async for event in events:
                    yield event
        finally:
            self.in_flight -= 1

    async def _events(self, request: ResolvedRequest) -> AsyncGenerator[Event, None]:
        try:
            message = await self._message(request)
            session = await self._drawing_session()
            async with aclosing(session.draw(message)) as events:
                async for event in events:
                    yield event
        except WorkerDiedError:
            raise
        except FrameTooLargeError:
            error = TooLargeError("the pictures to start from are too large", parameter="image")
            for failed in _all_failed(request, error):
                yield failed
        except AppError as error:  # no such model, picture to start from or adapter
            for failed in _all_failed(request, error):
                yield failed

    async def _message(self, request: ResolvedRequest) -> Draw:
        return Draw(
            draw=next(self._numbers),
            model=self._engine_model(request.model),
            request=request,
            sources=await self._sources(request),
            adapters=tuple(
                DrawAdapter(path=str(self._adapter_file(one.sha256)), **dict(one))
                for one in request.adapters
            ),
            preview_interval_seconds=self._preview_interval_seconds,
        )

    async def _sources(self, request: ResolvedRequest) -> Sources:
        async def of(source_id: str | None) -> bytes | None:
            return None if source_id is None else await self._load_source(source_id)

        references = [await self._load_source(source_id) for source_id in request.references]
        return Sources(
            image=await of(request.image),
            mask=await of(request.mask),
            references=tuple(references),
        )

    async def _drawing_session(self) -> Session:
        while True:
            await self.ready()
            if self._session is not None:
                return self._session

    def _family(self, model: str) -> Family | None:
        return next((info.family for info in self._infos() if info.id == model), None)

    async def _live(self) -> None:
        """Keep a process running until cancelled."""
        wait = 0.0
        while True:
            self.epoch += 1
            reason, was_ready = await self._one_life()
            # A process that never became ready would fail again at once.
            wait = 0.0 if was_ready else min(max(_FIRST_WAIT_SECONDS, 2 * wait), _MOST_WAIT_SECONDS)
            self.last_error = f"the worker process {reason}"
            self._log.warning("worker.ended", reason=reason, restart_in_seconds=wait)
            self._enter(WorkerState.RESTARTING)
            await asyncio.sleep(wait)

    async def _one_life(self) -> tuple[str, bool]:
        """Run one process to its end; return how it ended and whether it ever was ready."""
        try:
            process = await WorkerProcess.start(self.id, self.device)
        except OSError as error:
            return f"could not be started ({error.strerror})", False
        self._log.info("worker.started", pid=process.pid, epoch=self.epoch)
        session = self._session = Session(
            process,
            ping_timeout_seconds=self._ping_timeout_seconds,
            stall_timeout_seconds=self._stall_timeout_seconds,
            row_times=self._row_times,
            limits=self._limits,
            on_change=self._session_changed,
        )
        try:
            return await session.run(), session.ready is not None
        finally:
            self._session = None

    def _session_changed(self) -> None:
        session = self._session
        if session is None or session.ready is None or self._life is None:
            return
        if session.ended:
            self._enter(WorkerState.RESTARTING)
            return
        if self.state is not WorkerState.READY:
            self._log.info("worker.ready", dtype=session.ready.dtype, epoch=self.epoch)
        self._enter(WorkerState.READY)

    def _enter(self, state: WorkerState) -> None:
        self.state = state
        if state in (WorkerState.READY, WorkerState.STOPPED):
            self._settled.set()
        else:
            self._settled.clear()
        self._on_change()


def _no_adapter(_sha256: str) -> Path:
    raise NotFoundError("no adapters are kept here", parameter="adapters")


def _all_failed(request: ResolvedRequest, error: AppError) -> list[Failed]:
    return [Failed(index, error) for index in range(request.num_images)]
