"""Memory of a device that the server's worker leaves to this process while it trains."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from server.domain.lending import (
    ADDRESS_FILE,
    TO_TRAINER,
    Borrow,
    Lent,
    Refused,
    Report,
    WantedBack,
)
from server.engine.wire import WireError, encode, receive

_AGAIN_SECONDS = 1.0  # between two looks for a server that went away


class NobodyLendsError(Exception):
    """No server uses this data folder, so the device is nobody's: take what is free."""


class LoanRefusedError(Exception):
    """The device will never have so much; the message says how much it has."""


class BorrowedMemory:
    """A part of a device, ours until `give_back` or the end of this process.

    Should the server go away and come again, it is told that we have the memory already.

    Args:
        data_dir: the server's.
        size_bytes: how much.
        name: what for; people who wait for pictures read it.
        device: which one; None: the one with the most room.
        on_waiting: called once if it is not free at once.
    """

    def __init__(
        self,
        data_dir: Path,
        size_bytes: int,
        *,
        name: str,
        device: str | None = None,
        on_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._file = data_dir / ADDRESS_FILE
        self._asked = Borrow(name=name, device=device, size_bytes=size_bytes)
        self._on_waiting = on_waiting
        self._lock = threading.Lock()
        self._seconds_left: float | None = None
        self._given_back = threading.Event()
        self.is_wanted_back = False
        self._socket = self._connect()
        self.device = self._wait_for_it()
        self._asked = self._asked.model_copy(
            update={"device": self.device, "taken_bytes": size_bytes}
        )
        threading.Thread(target=self._listen, name="lending", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()

    def report(self, seconds_left: float | None) -> None:
        """Say how long it will still be needed; whoever waits for a picture is told."""
        self._seconds_left = seconds_left
        self._send(Report(seconds_left=seconds_left))

    def give_back(self) -> None:
        """Let the worker have it again. Free the memory before."""
        self._given_back.set()
        with self._lock, contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()

    def _connect(self) -> socket.socket:
        try:
            address = self._file.read_text()
            end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                end.connect(address)
                end.sendall(encode(self._asked))
            except OSError:
                end.close()
                raise
        except OSError as error:
            raise NobodyLendsError(f"no server lends memory at {self._file.parent}") from error
        return end

    def _wait_for_it(self) -> str:
        self._socket.settimeout(_AGAIN_SECONDS)
        with contextlib.suppress(TimeoutError):
            self._socket.recv(1, socket.MSG_PEEK)
            self._socket.settimeout(None)
            return self._answer()
        self._on_waiting()
        self._socket.settimeout(None)
        return self._answer()

    def _answer(self) -> str:
        while True:
            try:
                message = receive(self._socket, TO_TRAINER)
            except (OSError, WireError) as error:
                raise NobodyLendsError("the server went away") from error
            match message:
                case Lent():
                    return message.device
                case Refused():
                    raise LoanRefusedError(message.detail)
                case None:
                    raise NobodyLendsError("the server went away")
                case WantedBack():
                    self.is_wanted_back = True

    def _listen(self) -> None:
        while not self._given_back.is_set():
            message = None
            with contextlib.suppress(OSError, WireError):
                message = receive(self._socket, TO_TRAINER)
            if isinstance(message, WantedBack):
                self.is_wanted_back = True
            elif message is None and not self._given_back.is_set():
                self._find_server()

    def _find_server(self) -> None:
        """Wait for a server to come, and tell it what we have."""
        while not self._given_back.wait(_AGAIN_SECONDS):  # first: it may have sent us away
            with contextlib.suppress(NobodyLendsError), self._lock:
                if not self._given_back.is_set():
                    self._socket.close()
                    self._socket = self._connect()
                break
        self._send(Report(seconds_left=self._seconds_left))

    def _send(self, message: Report) -> None:
        with self._lock, contextlib.suppress(OSError):  # `_listen` finds out
            self._socket.sendall(encode(message))
