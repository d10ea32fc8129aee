"""Work that is worth doing only while someone waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")


async def while_present(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what `work` returns, or None as soon as the client has gone.

    The request's body must have been read: what comes after it is only the hang-up.
    """
    working = asyncio.ensure_future(work)
    hang_up = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, hang_up), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        hang_up.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
