"""One life of a worker: what it is asked, what it answers, and noticing that it is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from server.domain.errors import WorkerDiedError
from server.domain.events import Event, Failed, Picture, Preview, Progress, Started
from server.domain.row_times import RowTimes
from server.engine.messages import (
    FROM_WORKER,
    Cancel,
    Done,
    Draw,
    DrawFailed,
    DrawPicture,
    DrawPreview,
    DrawProgress,
    DrawStarted,
    FromWorker,
    Known,
    Lend,
    Limits,
    Measured,
    Ping,
    Pong,
    Preload,
    Ready,
    Residents,
    TakeBack,
    Taken,
    ToWorker,
    Unload,
    error_of,
    named_error,
)
from server.engine.newest import NewestQueue
from server.engine.process import WorkerProcess
from server.engine.wire import WireError, encode, read

AboutDraw = Taken | DrawStarted | DrawProgress | DrawPreview | DrawPicture | DrawFailed

_LATE_SECONDS = 0.5


class Mailbox:
    """What came for one draw and was not taken yet; of progress and previews only the newest."""

    def __init__(self, draw: int) -> None:
        self.draw = draw
        self._queue: NewestQueue[Event] = NewestQueue()
        self._some = asyncio.Event()
        self._taken = False  # the worker has begun it
        self._done: set[int] = set()  # pictures with a last word
        self._ended: str | None = None

    def put(self, message: AboutDraw) -> None:
        """Keep `message` until it is read."""
        if isinstance(message, Taken):
            self._taken = True
            return
        if message.index in self._done:
            return  # a preview that was overtaken by its picture
        if isinstance(message, DrawPicture | DrawFailed):
            self._done.add(message.index)
        replaceable = isinstance(message, DrawProgress | DrawPreview)
        self._queue.put(_event(message), (message.type, message.index) if replaceable else None)
        self._some.set()

    def end(self, reason: str) -> None:
        """Let the reader know, after what has come, that no more will."""
        self._ended = reason
        self._some.set()

    async def read(self) -> Event:
        """Return the next event.

        Raises:
            WorkerDiedError: the worker is gone; `started` says whether it was at work on this.
        """
        while (event := self._queue.take()) is None:
            if self._ended is not None:
                raise WorkerDiedError(self._ended, started=self._taken)
            self._some.clear()
            await self._some.wait()
        return event


class Session:
    """The connection to one worker process, from its start to its end.

    Args:
        process: the worker.
        ping_timeout_seconds: how long it may leave a ping unanswered; its reader answers even
            while it draws, so silence means that it is stopped or gone.
        stall_timeout_seconds: how long one step, or the loading of one model, may take.
        row_times: what the worker is told when it is ready, and where its measurements go.
        limits: the first thing the worker is told.
        on_change: called when `ready`, `memory` or `ended` change.
    """

    def __init__(
        self,
        process: WorkerProcess,
        *,
        ping_timeout_seconds: float,
        stall_timeout_seconds: float,
        row_times: RowTimes,
        limits: Limits,
        on_change: Callable[[], None],
    ) -> None:
        self.process = process
        self.ready: Ready | None = None
        self.memory = Residents(models=(), loading=None)
        self.ended = False
        self.over = asyncio.Event()
        self._ping_timeout = ping_timeout_seconds
        self._stall_timeout = stall_timeout_seconds
        self._row_times = row_times
        self._limits = limits
        self._on_change = on_change
        self._mailboxes: dict[int, Mailbox] = {}
        self._chores: dict[int, asyncio.Future[None]] = {}
        self._heard = asyncio.Event()
        self._stalled_seconds = 0.0

    async def run(self) -> str:
        """Take in what the worker says until it is gone; return why. Ends its process."""
        parts = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch())]
        reason = "was stopped"
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            reason = next(iter(done)).result()
        finally:
            for part in parts:
                part.cancel()
            # First the news, then the funeral: whoever waits hears of it at once.
            self.ended = True
            self.over.set()
            self._on_change()
            for mailbox in self._mailboxes.values():
                mailbox.end(f"the worker process {reason}")
            for chore in self._chores.values():
                if not chore.done():
                    chore.set_exception(WorkerDiedError(f"the worker process {reason}"))
            how = await self.process.end()
            await asyncio.gather(*parts, return_exceptions=True)
        return how if reason == _CLOSED else f"{reason} and {how}"

    async def draw(self, message: Draw) -> AsyncGenerator[Event, None]:
        """Have it drawn; closing the iterator cancels.

        Raises:
            WorkerDiedError: the worker is gone.
            FrameTooLargeError: the picture to start from does not fit into a message.
        """
        mailbox = Mailbox(message.draw)
        self._mailboxes[message.draw] = mailbox
        left = message.request.num_images
        try:
            self._send(message)
            with contextlib.suppress(ConnectionError):  # then the mailbox ends
                await self.process.writer.drain()
            while left:
                event = await mailbox.read()
                left -= isinstance(event, Picture | Failed)
                yield event
        finally:
            del self._mailboxes[message.draw]
            if left:
                self._send(Cancel(draw=message.draw))

    async def do(self, chore: Preload | Unload | Lend) -> None:
        """Have a chore done; returns when it is.

        Raises:
            WorkerDiedError: the worker is gone.
            AppError: why it cannot be done.
        """
        if self.ended:
            raise WorkerDiedError("the worker process has ended")
        done = self._chores[chore.chore] = asyncio.get_running_loop().create_future()
        try:
            self._send(chore)
            await done
        finally:
            del self._chores[chore.chore]

    def take_back(self, chore: int) -> None:
        """Let the worker have again what it lent, or was asked to lend."""
        self._send(TakeBack(chore=chore))

    def _send(self, message: ToWorker) -> None:
        if not self.process.writer.is_closing():
            self.process.writer.write(encode(message))

    async def _listen(self) -> str:
        try:
            while (message := await read(self.process.reader, FROM_WORKER)) is not None:
                self._heard.set()
                self._take(message)
        except WireError as error:
            return f"said something unreadable ({error})"
        return _CLOSED

    def _take(self, message: FromWorker) -> None:
        match message:
            case Ready():
                self.ready = message
                # Before anyone hears that it is ready: the first draw should find it.
                self._send(self._limits)
                self._send(Known(points=self._row_times.of(message.hardware)))
                self._on_change()
            case Measured():
                self._row_times.learn(message.point)
            case Residents():
                self.memory = message
                self._on_change()
            case Done():
                self._answer(message)
            case Pong():
                self._stalled_seconds = message.stalled_seconds
            case _:
                mailbox = self._mailboxes.get(message.draw)
                if mailbox is not None:  # else it was cancelled meanwhile
                    mailbox.put(message)

    def _answer(self, message: Done) -> None:
        done = self._chores.get(message.chore)
        if done is None or done.done():
            return  # whoever asked has gone
        if message.code is None:
            done.set_result(None)
        else:
            done.set_exception(named_error(message.code, message.detail or ""))

    async def _watch(self) -> str:
        number = 0
        while True:
            self._heard.clear()
            number += 1
            self._send(Ping(number=number))
            if not await self._hears(self._ping_timeout):
                return f"did not answer for {self._ping_timeout:g} seconds"
            if self._stalled_seconds > self._stall_timeout:
                return f"was busy with one step for {self._stalled_seconds:.0f} seconds"
            await asyncio.sleep(self._ping_timeout / 4)

    async def _hears(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            # If we were the ones asleep (a suspended machine), the answer may lie in the socket.
            await asyncio.sleep(_LATE_SECONDS)
        return self._heard.is_set()


_CLOSED = "closed its socket"


def _event(message: DrawStarted | DrawProgress | DrawPreview | DrawPicture | DrawFailed) -> Event:
    match message:
        case DrawStarted():
            return Started(message.index, message.total_steps)
        case DrawProgress():
            return Progress(message.index, message.step, message.total_steps)
        case DrawPreview():
            return Preview(message.index, message.data)
        case DrawFailed():
            return Failed(message.index, error_of(message))
    return Picture(
        index=message.index,
        data=message.data,
        format=message.format,
        width=message.width,
        height=message.height,
        recipe=message.recipe,
        duration_seconds=message.duration_seconds,
        device_seconds=message.device_seconds,
    )
