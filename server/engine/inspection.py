"""Asks a process of its own what an adapter's file is. Torch-free."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pydantic import ValidationError

from server.domain.errors import AdapterError
from server.domain.images import Frozen
from server.domain.models import Family

_COMMAND = (sys.executable, "-m", "server.engine.adapters.inspect")
_SECONDS = 120.0  # importing torch on a slow disk is most of it


class Inspected(Frozen):
    """An adapter that may be kept; `rank` is its largest."""

    family: Family
    rank: int
    layers: int


class _Refused(Frozen):
    error: str


async def inspect(path: Path) -> Inspected:
    """Return what the file at `path` is, by its header.

    Raises:
        AdapterError: it is no adapter that is drawn with here, or reading it takes too long.
    """
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        str(path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError as error:
        raise AdapterError("reading its header takes too long; try again later") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _read(said)


def _read(said: bytes) -> Inspected:
    try:
        return Inspected.model_validate_json(said)
    except ValidationError:
        pass
    try:
        raise AdapterError(_Refused.model_validate_json(said).error)
    except ValidationError as error:
        raise AdapterError("it cannot be read; the process that tried ended") from error
