"""Where the server of a data folder answers, told to other commands on this machine.

The address stands in a file that the server keeps locked. The lock, not the file, says that the
server lives: the kernel drops it when the process ends in whatever way, so the address, and the
admin's key sent to it, never goes to a stranger who took over the port.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.domain.errors import AlreadyServingError

_FILE = "address"
_PROBE_SECONDS = 1.0  # a look from `running_server` holds the lock for an instant


@contextmanager
def announced(data_dir: Path, url: str) -> Iterator[None]:
    """Tell `url` for as long as the block runs.

    Raises:
        AlreadyServingError: another server of this data folder lives.
    """
    with (data_dir / _FILE).open("a+") as file:
        _lock(file.fileno(), data_dir)
        file.truncate(0)
        file.write(url)
        file.flush()
        yield
        file.truncate(0)


def running_server(data_dir: Path) -> str | None:
    """Return the address of the server that uses `data_dir` now, or None."""
    try:
        file = (data_dir / _FILE).open()
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or None
        return None


def _lock(descriptor: int, data_dir: Path) -> None:
    give_up = time.monotonic() + _PROBE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < give_up:
                time.sleep(0.02)
                continue
            where = running_server(data_dir) or "an address not known yet"
            raise AlreadyServingError(
                f"a server already uses this data folder, at {where}; stop it, "
                "or set GREENROOM_DATA_DIR to another folder"
            ) from None
        return
