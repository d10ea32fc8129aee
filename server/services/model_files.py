"""Weights brought over HTTP: streamed into the models' folder under a plain name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

from server.domain.errors import ConflictError, InvalidRequestError
from server.registry.disk import storage_errors
from server.registry.safetensors import WeightsError, read_header
from server.services import staging

FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.safetensors$"
_UNFINISHED = ".uploading"


class ModelFiles:
    """The folder of weights, as far as uploads may reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for left in folder.glob(f".*{_UNFINISHED}"):  # of a process that was killed
            left.unlink(missing_ok=True)

    async def keep(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Write a file and return its size in bytes; it appears whole or not at all.

        Raises:
            InvalidRequestError: no name of a `.safetensors` file, or the bytes are none.
            ConflictError: there is such a file, or it is being uploaded by another.
            StorageFullError, StorageUnavailableError: the folder takes no more.
        """
        if not re.fullmatch(FILE_NAME, name):
            raise InvalidRequestError("a plain name ending in .safetensors is taken here")
        target, fresh = self.folder / name, self.folder / f".{name}{_UNFINISHED}"
        if target.exists():
            raise ConflictError(f"there is a file '{name}' already; choose another name")
        _create(fresh)
        try:
            await staging.write(fresh, chunks)
            return await asyncio.to_thread(_finish, fresh, target)
        finally:
            fresh.unlink(missing_ok=True)


def _create(fresh: Path) -> None:
    with storage_errors():
        fresh.parent.mkdir(parents=True, exist_ok=True)
        try:
            fresh.touch(exist_ok=False)
        except FileExistsError as error:
            raise ConflictError("a file of this name is being uploaded now") from error


def _finish(fresh: Path, target: Path) -> int:
    try:
        size = read_header(fresh).size_bytes
    except WeightsError as error:
        raise InvalidRequestError(f"'{target.name}': {error}") from error
    staging.settle(fresh, target)
    return size
