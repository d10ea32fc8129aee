"""Fetch an address that a caller named, without becoming a way into private networks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpx2

from server.domain.errors import FetchFailedError, FetchRefusedError
from server.net.addresses import is_public

MAX_REDIRECTS = 3
_PORTS = {"http": 80, "https": 443}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of `host` as this machine resolves it, in its order."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@dataclass(frozen=True, slots=True)
class _Target:
    """One hop: the URL, and the only addresses that its connection may go to."""

    url: httpx2.URL
    addresses: tuple[str, ...]


class SafeFetcher:
    """GET over http and https, to public addresses only.

    The name is resolved once, all its addresses are checked, and the connection goes to the
    address that was checked, so an answer that changes in between (DNS rebinding) cannot matter.
    Every redirect is a new hop with the same checks. Proxies of the environment are not used:
    they would resolve the name again.

    Args:
        allows: whether an IP literal may be connected to; for a network you trust, wider.
        resolve: from a host and port to IP literals.
        tls: the certificates to trust; None: the usual public ones.
    """

    def __init__(
        self,
        *,
        allows: Callable[[str], bool] = is_public,
        resolve: Resolve = system_resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allows = allows
        self._resolve = resolve
        self._tls = tls

    async def get(self, url: str, *, max_bytes: int, timeout_seconds: float) -> bytes:
        """Return the body at `url`.

        Args:
            url: absolute, without user name or password.
            max_bytes: a longer body is refused as soon as that is known.
            timeout_seconds: for everything together, so a server that trickles gains nothing.

        Raises:
            FetchRefusedError: the address may not be fetched, or there is too much of it.
            FetchFailedError: it did not answer in time, or not with a body.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._follow(url, max_bytes)
        except TimeoutError as error:
            raise FetchFailedError(
                f"the address did not answer within {timeout_seconds:g} seconds", parameter="url"
            ) from error
        except httpx2.InvalidURL as error:
            raise _refused("it is not a valid one") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise FetchFailedError(
                f"the address did not answer: {type(error).__name__}", parameter="url"
            ) from error

    async def _follow(self, url: str, max_bytes: int) -> bytes:
        asked = _parse(url)
        async with httpx2.AsyncClient(
            verify=await self._certificates(), trust_env=False, timeout=None
        ) as client:
            for _ in range(MAX_REDIRECTS + 1):
                answer = await _hop(client, await self._check(asked), max_bytes)
                if isinstance(answer, bytes):
                    return answer
                if asked.scheme == "https" and answer.scheme == "http":
                    raise _refused("it redirects from https to http")
                asked = answer
        raise _refused(f"it redirects more than {MAX_REDIRECTS} times")

    async def _certificates(self) -> ssl.SSLContext:
        if self._tls is None:  # reading the bundle takes tens of milliseconds
            self._tls = await asyncio.to_thread(httpx2.create_ssl_context, trust_env=False)
        return self._tls

    async def _check(self, url: httpx2.URL) -> _Target:
        try:
            addresses = await self._resolve(url.host, url.port or _PORTS[url.scheme])
        except (OSError, UnicodeError) as error:
            raise FetchFailedError(
                f"the name '{url.host}' is not known", parameter="url"
            ) from error
        if not addresses:
            raise FetchFailedError(f"the name '{url.host}' has no address", parameter="url")
        # One private address among public ones is an attack, or at best a mistake: refuse all.
        if not all(map(self._allows, addresses)):
            raise _refused(f"'{url.host}' is not a public address")
        return _Target(url, tuple(addresses))


async def _hop(client: httpx2.AsyncClient, target: _Target, max_bytes: int) -> bytes | httpx2.URL:
    """Return the body, or where a redirect leads."""
    response = await _connect(client, target)
    try:
        if response.is_redirect:
            return _parse(str(target.url.join(response.headers["location"])))
        return await _body(response, max_bytes)
    finally:
        await response.aclose()


async def _connect(client: httpx2.AsyncClient, target: _Target) -> httpx2.Response:
    for address in target.addresses[:-1]:
        # Often an IPv6 address comes first where only IPv4 works.
        with contextlib.suppress(httpx2.ConnectError):
            return await client.send(_request(client, target.url, address), stream=True)
    request = _request(client, target.url, target.addresses[-1])
    return await client.send(request, stream=True)


def _request(client: httpx2.AsyncClient, url: httpx2.URL, address: str) -> httpx2.Request:
    return client.build_request(
        "GET",
        url.copy_with(host=address),
        headers={
            "Host": url.netloc.decode("ascii"),
            "Accept": "image/*",
            "Accept-Encoding": "identity",  # a compressed body could unpack without bound
            "User-Agent": "greenroom",
        },
        extensions={"sni_hostname": url.raw_host.decode("ascii")},  # and TLS verifies this name
    )


def _parse(url: str) -> httpx2.URL:
    parsed = httpx2.URL(url)
    if parsed.scheme not in _PORTS:
        raise _refused("only http and https are fetched")
    if parsed.userinfo:
        raise _refused("it holds a user name or password")
    if not parsed.host or "%" in parsed.host or not 0 < (parsed.port or 80) < 2**16:
        raise _refused("it names no valid host or port")
    return parsed.copy_with(fragment=None)


async def _body(response: httpx2.Response, max_bytes: int) -> bytes:
    if response.status_code != 200:
        raise FetchFailedError(f"the address answered {response.status_code}", parameter="url")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FetchFailedError("the address answered with a compressed body", parameter="url")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > max_bytes:
            raise _refused(f"it is larger than {max_bytes} bytes")
    return bytes(body)


def _refused(reason: str) -> FetchRefusedError:
    return FetchRefusedError(f"this address is not fetched: {reason}", parameter="url")
