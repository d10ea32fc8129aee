"""Calls to a remote service: bounded in time and size, sent again only where that is safe."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import httpx2

from server.domain.errors import (
    InvalidRequestError,
    ProviderAnswerError,
    ProviderError,
    ProviderKeyError,
    ProviderUnreachableError,
)
from server.providers.redaction import Redaction
from server.providers.trouble import may_have_drawn, retry_after

CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 96 * 2**20  # four large pictures as base64
MAX_LIST_BYTES = 8 * 2**20
_MAX_ERROR_BYTES = 64 * 2**10
_MAX_EVENT_BYTES = 48 * 2**20
_MOST_TRIES = 4
_FIRST_PAUSE_SECONDS = 0.2
_JSON = ("application/json",)
_EVENTS = ("text/event-stream",)

Files = Sequence[tuple[str, tuple[str, bytes, str]]]  # field, (file name, bytes, media type)


def make_client() -> httpx2.AsyncClient:
    """Return a pool of connections for all services; whoever made it closes it.

    Redirects are never followed: they would take the key elsewhere. Bodies are asked for as they
    are, since a compressed one could unpack without bound.
    """
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx2.Limits(
            max_connections=None, max_keepalive_connections=100, keepalive_expiry=10
        ),
        follow_redirects=False,
        headers={"User-Agent": f"greenroom/{greenroom_version()}", "Accept-Encoding": "identity"},
    )


@cache
def greenroom_version() -> str:
    """Return our version, or `source` in a checkout that is not installed."""
    try:
        return version("greenroom")
    except PackageNotFoundError:
        return "source"


@dataclass(frozen=True, slots=True)
class Call:
    """One call: what is sent, and what may come back.

    Attributes:
        seconds: for everything together, waiting for a second try included.
        draws: the service may draw, and charge, because of it.
        repeatable: although it draws, sent twice it does no more than once.
        body: JSON; large ones are best written in a thread.
        quiet_seconds: most silence on the line; None: as long as `seconds` allow.
    """

    method: str
    path: str
    body: bytes | None = None
    form: Mapping[str, str | list[str]] | None = None
    files: Files = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    accepts: tuple[str, ...] = _JSON
    max_bytes: int = MAX_ANSWER_BYTES
    seconds: float = 30.0
    draws: bool = False
    repeatable: bool = False
    quiet_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of status 2xx."""

    body: bytes
    headers: httpx2.Headers


@dataclass(frozen=True, slots=True)
class Complaint:
    """An answer of any other status, as far as it was read."""

    status: int
    body: bytes
    retry_after: float | None


class Service:
    """One service: where it is, what every call carries, and how its errors read.

    Args:
        client: the shared pool.
        name: as messages call it.
        base_url: in front of every path.
        headers: of every call; the key is here and nowhere else.
        key: taken out of whatever the service says, should it repeat it.
        understand: from an answer that is none to an error.

    Raises:
        InvalidRequestError: `base_url` is no address.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        name: str,
        base_url: str,
        *,
        headers: Mapping[str, str],
        key: str | None,
        understand: Callable[[Complaint], ProviderError],
    ) -> None:
        _check_address(base_url)
        self._client = client
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._headers = headers
        self._redaction = Redaction(key)
        self._understand = understand

    def is_here(self, url: str) -> bool:
        """Return whether `url` is of the very server that this service is."""
        try:
            asked, own = httpx2.URL(url), httpx2.URL(self._base_url)
        except httpx2.InvalidURL:
            return False
        return (asked.scheme, asked.host, asked.port) == (own.scheme, own.host, own.port)

    async def send(self, call: Call) -> Answer:
        """Return the answer to `call`.

        Raises:
            ProviderError: there is none, or another one than documented; `may_have_billed` says
                whether something may have been drawn.
        """
        try:
            async with asyncio.timeout(call.seconds):
                response = await self._answered(call)
                try:
                    self._check_type(response, call)
                    return Answer(await self._body(response, call), response.headers)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise self._late(call) from error
        except httpx2.HTTPError as error:
            raise self._cut(error, call) from error

    async def events(self, call: Call) -> AsyncGenerator[httpx2.ServerSentEvent | Answer, None]:
        """Yield server-sent events, or the whole answer where the service sends plain JSON.

        The time of `call` counts while this waits, not while the caller works.

        Raises:
            ProviderError: as `send`.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + call.seconds
        try:
            async with asyncio.timeout_at(end):
                response = await self._answered(call)
            try:
                self._check_type(response, call, *_EVENTS)
                if _media_type(response) not in _EVENTS:
                    async with asyncio.timeout_at(end):
                        body = await self._body(response, call)
                    yield Answer(body, response.headers)
                    return
                async with aclosing(_events(response)) as source:
                    while True:
                        async with asyncio.timeout_at(end):
                            event = await anext(source, None)
                        if event is None:
                            return
                        yield self._without_key(event)
            finally:
                await response.aclose()
        except TimeoutError as error:
            raise self._late(call) from error
        except httpx2.SSEError as error:
            raise self._senseless(f"a stream that cannot be read ({error})", call) from error
        except httpx2.HTTPError as error:
            raise self._cut(error, call) from error

    async def _answered(self, call: Call) -> httpx2.Response:
        """Return an open response of status 2xx; asks again where that is safe."""
        loop = asyncio.get_running_loop()
        end = loop.time() + call.seconds
        tried = 0
        while True:
            tried += 1
            try:
                return await self._once(call)
            except ProviderError as error:
                pause = pause_before_retry(error, call, tried, jitter=random.random())  # noqa: S311
                if pause is None or loop.time() + pause >= end:
                    raise
            await asyncio.sleep(pause)

    async def _once(self, call: Call) -> httpx2.Response:
        try:
            response = await self._client.send(self._request(call), stream=True)
        except httpx2.HTTPError as error:
            raise self._cut(error, call) from error
        except UnicodeEncodeError:  # in a header; of ours only the key can hold it
            raise ProviderKeyError(
                f"the key for {self.name} holds characters that no key has; paste it again"
            ) from None
        if response.is_success:
            return response
        try:
            body = await _beginning(response, _MAX_ERROR_BYTES)
        except httpx2.HTTPError:
            body = b""  # the status says enough
        finally:
            await response.aclose()
        wait = retry_after(response.headers, datetime.now(UTC))
        said = self._redaction.body(body)
        complaint = self._understand(Complaint(response.status_code, said, wait))
        complaint.detail = self._redaction.text(complaint.detail)
        complaint.args = (complaint.detail,)
        complaint.may_have_billed = call.draws and may_have_drawn(response.status_code)
        raise complaint

    def _request(self, call: Call) -> httpx2.Request:
        # A path may be a whole address, but only of this very server; see is_here.
        url = call.path if self.is_here(call.path) else f"{self._base_url}{call.path}"
        return self._client.build_request(
            call.method,
            url,
            content=call.body,
            data=call.form,
            files=list(call.files) or None,
            headers={
                "Accept": ", ".join(call.accepts),
                **({} if call.body is None else {"Content-Type": _JSON[0]}),
                **self._headers,
                **call.headers,
            },
            timeout=httpx2.Timeout(call.quiet_seconds, connect=CONNECT_SECONDS),
        )

    def _check_type(self, response: httpx2.Response, call: Call, *more: str) -> None:
        said = _media_type(response)
        if said not in (*call.accepts, *more):
            raise self._senseless(f"'{said[:60]}' instead of {' or '.join(call.accepts)}", call)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise self._senseless("a compressed body that was not asked for", call)

    async def _body(self, response: httpx2.Response, call: Call) -> bytes:
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > call.max_bytes:
                raise self._senseless(f"more than {call.max_bytes} bytes", call)
        if _media_type(response) in _JSON and len(body) <= _MAX_ERROR_BYTES:  # else a picture
            return self._redaction.body(bytes(body))
        return bytes(body)

    def _without_key(self, event: httpx2.ServerSentEvent) -> httpx2.ServerSentEvent:
        if len(event.data) > _MAX_ERROR_BYTES:  # a picture
            return event
        return replace(event, data=self._redaction.data(event.data))

    def _senseless(self, what: str, call: Call) -> ProviderAnswerError:
        detail = self._redaction.text(f"{self.name} answered with {what}")
        return ProviderAnswerError(detail, may_have_billed=call.draws)

    def _late(self, call: Call) -> ProviderUnreachableError:
        return ProviderUnreachableError(
            f"{self.name} did not answer within {call.seconds:g} seconds",
            may_have_billed=call.draws,
        )

    def _cut(self, error: httpx2.HTTPError, call: Call) -> ProviderError:
        unsent = isinstance(error, _UNSENT)
        what = "cannot be reached" if unsent else "broke off"
        return ProviderUnreachableError(
            f"{self.name} {what} ({type(error).__name__}); is its address right, and is it up?",
            may_have_billed=call.draws and not unsent,
        )


def _check_address(base_url: str) -> None:
    try:
        url = httpx2.URL(base_url)
        url.host.encode("idna")
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise InvalidRequestError(
            f"'{base_url}' is no address of a service: {error}", parameter="base_url"
        ) from error
    if url.port is not None and not 0 < url.port < 2**16:
        raise InvalidRequestError(
            f"'{base_url}' is no address of a service: ports end at 65535", parameter="base_url"
        )


_UNSENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)


def pause_before_retry(
    error: ProviderError, call: Call, tried: int, *, jitter: float
) -> float | None:
    """Return how long to wait before `call` is sent again, None where it must not be.

    Args:
        error: of the last try.
        call: what was sent.
        tried: how often.
        jitter: 0 to 1, so that many waiting calls do not come back at once.
    """
    is_safe = call.repeatable or not call.draws
    if tried >= _MOST_TRIES or (error.may_have_billed and not is_safe):
        return None
    if error.retry_after_seconds is not None:
        asked = error.retry_after_seconds
        return asked + jitter * max(0.1, asked * 0.1)
    never_arrived = isinstance(error.__cause__, _UNSENT)
    lost = isinstance(error.__cause__, httpx2.TransportError) and is_safe
    if never_arrived or lost:
        return float(_FIRST_PAUSE_SECONDS * 2 ** (tried - 1) * (0.5 + jitter))
    return None


async def _events(response: httpx2.Response) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
    async for event in httpx2.EventSource(response, _MAX_EVENT_BYTES):
        yield event


async def _beginning(response: httpx2.Response, most: int) -> bytes:
    body = bytearray()
    async with aclosing(response.aiter_raw()) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) >= most:
                break
    return bytes(body[:most])


def _media_type(response: httpx2.Response) -> str:
    said: str = response.headers.get("content-type", "")
    return said.partition(";")[0].strip().lower()
