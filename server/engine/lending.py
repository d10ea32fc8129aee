"""The one who lends: trainers ask here for a device's memory, and the device's worker decides."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from server.domain.errors import AppError, WorkerDiedError
from server.domain.lending import (
    ADDRESS_FILE,
    FROM_TRAINER,
    Borrow,
    Lent,
    Loan,
    Refused,
    Report,
    WantedBack,
)
from server.engine.client import EngineWorker, WorkerState
from server.engine.wire import WireError, encode, read

log = structlog.get_logger(__name__)

_LONGEST_ADDRESS = 100  # the kernel takes 107 bytes as a socket's path


class _Borrower:
    """One trainer's connection. Its end, however it came, is the end of the loan."""

    def __init__(self, asked: Borrow, worker: EngineWorker, writer: asyncio.StreamWriter) -> None:
        self.worker = worker
        self._asked = asked
        self._writer = writer
        self._is_lent = False
        self._report = Report(seconds_left=None)
        self._reported_at = time.monotonic()

    @property
    def loan(self) -> Loan:
        """The loan as others see it now."""
        left = self._report.seconds_left
        if left is not None:
            left = max(0.0, left - (time.monotonic() - self._reported_at))
        return Loan(
            name=self._asked.name,
            device=self.worker.device,
            size_bytes=self._asked.size_bytes,
            is_lent=self._is_lent,
            seconds_left=left,
        )

    def say(self, message: Lent | Refused | WantedBack) -> None:
        """Tell the trainer."""
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def hear(self, reader: asyncio.StreamReader) -> None:
        """Take in reports until the trainer is gone."""
        while (message := await read(reader, FROM_TRAINER)) is not None:
            if isinstance(message, Report):
                self._report, self._reported_at = message, time.monotonic()

    async def hold(self) -> None:
        """Have the worker lend, and again whichever process takes its place."""
        taken = self._asked.taken_bytes
        while True:
            try:
                async with self.worker.lend(self._asked.size_bytes, taken_bytes=taken) as over:
                    if not self._is_lent:
                        self._is_lent = True
                        log.info("memory.lent", name=self._asked.name, device=self.worker.device)
                        self.say(Lent(device=self.worker.device))
                    await over.wait()
            except WorkerDiedError:
                if self.worker.state is WorkerState.STOPPED:
                    return  # no other process will take its place
            except AppError as error:
                self.say(Refused(detail=error.detail))
                return
            if self._is_lent:
                taken = self._asked.size_bytes  # the trainer has it: the next process will see


class Lender:
    """Listens for trainers at a socket that only this user may open.

    Args:
        workers: whose memory it is.
        data_dir: where trainers find the socket's address.
    """

    def __init__(self, workers: Sequence[EngineWorker], data_dir: Path) -> None:
        self._workers = workers
        self._file = data_dir / ADDRESS_FILE
        self._address = data_dir / f"{ADDRESS_FILE}.sock"
        self._folder: Path | None = None
        self._server: asyncio.Server | None = None
        self._borrowers: list[_Borrower] = []
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def loans(self) -> tuple[Loan, ...]:
        """What trainers hold or wait for."""
        return tuple(borrower.loan for borrower in self._borrowers)

    def want_back(self, device: str) -> int:
        """Ask all who hold memory of a device to give it back soon; returns how many do."""
        holders = [one for one in self._borrowers if one.loan.is_lent]
        holders = [one for one in holders if one.worker.device == device]
        for borrower in holders:
            borrower.say(WantedBack())
        return len(holders)

    async def start(self) -> None:
        """Listen."""
        if len(os.fsencode(self._address)) > _LONGEST_ADDRESS:
            self._folder = Path(tempfile.mkdtemp(prefix="greenroom-"))
            self._address = self._folder / "lending.sock"
        self._address.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._accept, self._address)
        finally:
            os.umask(mask)
        self._file.write_text(str(self._address))

    async def stop(self) -> None:
        """Hear nobody any more; what is lent stays with who has it."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for path in (self._file, self._address):
            path.unlink(missing_ok=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await read(reader, FROM_TRAINER)
            if isinstance(asked, Borrow):
                await self._lend(asked, reader, writer)
        except (WireError, ConnectionError) as error:
            log.warning("memory.trainer_unreadable", reason=str(error))
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _lend(
        self, asked: Borrow, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        worker = self._worker(asked.device)
        if worker is None:
            devices = ", ".join(one.device for one in self._workers) or "none"
            refused = Refused(detail=f"no worker has device '{asked.device}'; there are {devices}")
            writer.write(encode(refused))
            return
        borrower = _Borrower(asked, worker, writer)
        self._borrowers.append(borrower)
        tasks = [
            asyncio.create_task(borrower.hear(reader)),
            asyncio.create_task(borrower.hold()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._borrowers.remove(borrower)
            log.info("memory.given_back", name=asked.name, device=worker.device)

    def _worker(self, device: str | None) -> EngineWorker | None:
        fitting = [one for one in self._workers if device in (None, one.device)]

        def room(worker: EngineWorker) -> int:
            now = worker.memory
            return 0 if now is None else now.free_bytes

        return max(fitting, key=room, default=None)
