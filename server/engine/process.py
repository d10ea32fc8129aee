"""Starting and ending the worker's process; its output goes to our log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import structlog

import server

log = structlog.get_logger(__name__)

_READ_AHEAD_BYTES = 1024**2
_LINE_CHARACTERS = 2000
_LAST_WORDS_SECONDS = 1.0
# What the worker has no need to know.
_SECRETS = ("GREENROOM_", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_", "PG")


class WorkerProcess:
    """One running worker and our end of its socket."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        worker_id: str,
    ) -> None:
        self.reader = reader
        self.writer = writer
        self._process = process
        self._pump = asyncio.create_task(self._log_output(worker_id))

    @classmethod
    async def start(cls, worker_id: str, device: str) -> WorkerProcess:
        """Start a worker for `device`.

        Raises:
            OSError: the machine has no room for another process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours, limit=_READ_AHEAD_BYTES)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "server.engine.worker"),
                    *("--fd", str(theirs.fileno()), "--device", device),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    env=_environment(),
                    process_group=0,  # Ctrl-C is for us: we end it when its pictures are settled
                )
            except BaseException:
                writer.close()
                raise
        return cls(process, reader, writer, worker_id)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def end(self) -> str:
        """End the process if it still runs, and say how it ended. It holds nothing worth saving."""
        self.kill()
        self.writer.close()
        code = await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._pump, _LAST_WORDS_SECONDS)
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
        return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def kill(self) -> None:
        """End the process and all it may have started, now."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _log_output(self, worker_id: str) -> None:
        output = self._process.stdout
        rest = b""
        while output is not None and (chunk := await output.read(8192)):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace").rstrip()[:_LINE_CHARACTERS]
                log.info("worker.said", worker=worker_id, line=text)
            rest = rest[-_LINE_CHARACTERS:]


def _environment() -> dict[str, str]:
    """Return our environment without secrets; `server` is found where we were found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
    paths = [str(Path(server.__file__).parents[1]), kept.get("PYTHONPATH", "")]
    kept["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    # OpenMP's threads wait for one another by spinning; beside any other program on the same cores
    # that made a CPU step ten times slower. Asleep they lose time only where nothing else runs.
    kept.setdefault("OMP_WAIT_POLICY", "passive")
    return kept
