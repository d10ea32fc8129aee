"""A web server of a few lines, so that tests say byte by byte what a peer answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    port: int
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def peer(
    answer: Answer, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Peer]:
    """Serve on loopback; `answer` gets each request's head and writes what it likes."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            seen.append(head)
            await answer(head, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side hung up, as some tests want
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    async with server:
        yield Peer(server.sockets[0].getsockname()[1], seen)


def saying(body: bytes, *, status: str = "200 OK", head: str = "") -> Answer:
    """Answer every request with `body`."""

    async def answer(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body
        )
        await writer.drain()

    return answer


def redirecting(location: str) -> Answer:
    """Answer every request with a redirect."""
    return saying(b"", status="302 Found", head=f"Location: {location}\r\n")
