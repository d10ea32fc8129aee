"""Services of a few lines on loopback, which answer byte by byte as a test says."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
from PIL import Image

from server.domain.connections import Connection
from server.domain.events import Event, Failed, Picture
from server.domain.images import ImageRequest, ResolvedRequest
from server.domain.resolve import resolve
from server.net.fetch import SafeFetcher
from server.providers.factory import make_provider
from server.providers.http import make_client
from server.providers.remote import RemoteProvider

KEY = "sk-a-secret-of-the-tests-0123456789"
JSON = "application/json"
NOW = datetime(2026, 11, 20, tzinfo=UTC)


@dataclass
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Reply = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class FakeService:
    """Where it listens, what it was asked, and whether the other side hung up before the end."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def service(*replies: Reply) -> AsyncIterator[FakeService]:
    """Serve `replies` one after another; the last one again and again."""
    running: FakeService

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await _read(reader)
            running.asked.append(asked)
            running.heard.set()
            reply = asyncio.ensure_future(
                replies[min(len(running.asked), len(replies)) - 1](asked, writer)
            )
            gone = asyncio.ensure_future(reader.read(1))
            await asyncio.wait({reply, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not reply.done():
                running.hung_up.set()
            for task in (reply, gone):
                task.cancel()
            await asyncio.gather(reply, gone, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**26)
    async with server:
        running = FakeService(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield running


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = b""
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).strip(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    return Asked(method, target, headers, body)


def saying(
    body: bytes | Any, *, status: int = 200, kind: str = JSON, headers: dict[str, str] | None = None
) -> Reply:
    """Answer with a whole body; what is no bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n"
            f"Connection: close\r\n{more}\r\n".encode()
            + data
        )
        await writer.drain()

    return reply


def in_pieces(body: bytes, cuts: Sequence[int] = (), *, kind: str = "text/event-stream") -> Reply:
    """Answer with `body` as a stream without a length, sent in pieces."""
    ends = [*sorted({cut % (len(body) + 1) for cut in cuts}), len(body)]

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode()
        )
        start = 0
        for end in ends:
            writer.write(body[start:end])
            await writer.drain()
            await asyncio.sleep(0)
            start = end

    return reply


def cut_after(body: bytes, promised: int) -> Reply:
    """Promise more bytes than come, then hang up."""

    async def reply(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\n".encode()
            + f"Content-Length: {promised}\r\n\r\n".encode()
            + body
        )
        await writer.drain()

    return reply


async def hanging_up(_: Asked, writer: asyncio.StreamWriter) -> None:
    """Hang up without a word."""
    writer.transport.abort()
    await asyncio.sleep(0)


async def silent(_: Asked, __: asyncio.StreamWriter) -> None:
    """Take the request and never answer."""
    await asyncio.sleep(60)


def picture(
    width: int = 64, height: int = 48, colour: str = "#884422", *, file_format: str = "PNG"
) -> bytes:
    """Return a small picture."""
    out = io.BytesIO()
    Image.new("RGBA" if len(colour) > 7 else "RGB", (width, height), colour).save(out, file_format)
    return out.getvalue()


def b64(data: bytes) -> str:
    """Return base64 as text."""
    return base64.b64encode(data).decode()


SOURCES = {"image": picture(80, 40, "#336699"), "mask": picture(80, 40, "#ffffff")}


_NAMES = {"1": "image", "2": "mask"}


async def load_source(source_id: str) -> bytes:
    """Return one of SOURCES; ids are as long as real ones."""
    return SOURCES[_NAMES[source_id[0]]]


def source_id(name: str) -> str:
    """Return an id that load_source understands."""
    return next(digit for digit, known in _NAMES.items() if known == name) * 26


def connection(provider: str, model: str, url: str | None, **changes: Any) -> Connection:
    """Return a connection named `far`."""
    values = {
        "id": "01hzzzzzzzzzzzzzzzzzzzzzzz",
        "name": "far",
        "provider": provider,
        "model": model,
        "base_url": url,
        "takes_pictures": True,
        "has_key": True,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Connection.model_validate({**values, **changes})


@asynccontextmanager
async def provider_at(
    provider: str, model: str, url: str | None, *, seconds: float | None = None, **changes: Any
) -> AsyncIterator[RemoteProvider]:
    """Yield a provider as the server would make it; with `seconds` a more impatient one."""
    async with make_client() as client:
        yield make_provider(
            connection(provider, model, url, **changes),
            key=KEY,
            client=client,
            fetch=SafeFetcher().get,
            load_source=load_source,
            seconds=seconds,
        )


async def resolved(provider: RemoteProvider, **fields: Any) -> ResolvedRequest:
    """Return a request resolved against the provider's model."""
    [info] = await provider.models()
    return resolve(ImageRequest(**{"prompt": "a red kite", **fields}), info, seed=7)


async def drawn(provider: RemoteProvider, **fields: Any) -> list[Event]:
    """Return all events of a request."""
    request = await resolved(provider, **fields)
    assert provider.refusal(request) is None
    return [event async for event in provider.generate(request)]


def pictures(events: Sequence[Event]) -> list[Picture]:
    """Return the pictures among `events`."""
    return [event for event in events if isinstance(event, Picture)]


def failures(events: Sequence[Event]) -> list[Failed]:
    """Return the failures among `events`."""
    return [event for event in events if isinstance(event, Failed)]


def client_of(url: str) -> httpx2.Client:
    """Return a plain client for asking a server what it knows."""
    return httpx2.Client(base_url=url, timeout=30)
