"""Writing files so that they are whole or not there, and saying plainly when a disk refuses."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.domain.errors import StorageFullError, StorageUnavailableError

_SPARE_BYTES = 512 * 2**20  # a disk filled to the last byte stops more than us


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what a disk says into our errors.

    Raises:
        StorageFullError: no space or quota left.
        StorageUnavailableError: read-only, no rights, or a failing disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(
                "the disk with the models is full; free some space and try again"
            ) from error
        raise StorageUnavailableError(
            f"the models' folder does not take writes ({error.strerror}); check its rights"
        ) from error


def ensure_space(folder: Path, needed_bytes: int) -> None:
    """Check that `needed_bytes` fit, before the first of them is fetched.

    Raises:
        StorageFullError: they do not.
    """
    with storage_errors():
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    if free < needed_bytes + _SPARE_BYTES:
        raise StorageFullError(
            f"{needed_bytes / 2**30:.1f} GiB are needed and {free / 2**30:.1f} GiB are free; "
            "free some space or set GREENROOM_MODELS_DIR to another disk"
        )


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file; a reader sees the old one or the new one, never half.

    Raises:
        StorageFullError: no space left.
        StorageUnavailableError: it cannot be written.
    """
    with storage_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(fresh).chmod(0o644)
            Path(fresh).replace(path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
