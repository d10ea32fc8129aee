"""Whatever a service does on the line: what is known, what is tried again, and what never is."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import (
    InvalidRequestError,
    ProviderAnswerError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRequestError,
    ProviderUnreachableError,
)
from server.net.fetch import SafeFetcher
from server.providers.factory import make_provider
from server.providers.http import Call, Service, make_client, pause_before_retry
from server.providers.trouble import cleaned, error_of, kind_of, retry_after, words_of
from server.providers.urls import with_version
from tests.providers import services
from tests.providers.services import saying
from tests.serving import free_port

DRAWS = Call("POST", "/draw", body=b"{}", seconds=5, draws=True)
ASKS = Call("GET", "/list", seconds=5)


@asynccontextmanager
async def caller(url: str) -> AsyncIterator[Service]:
    def understand(complaint: Any) -> ProviderError:
        return error_of(
            kind_of(complaint.status),
            "Far",
            words_of(complaint.body),
            retry_after=complaint.retry_after,
        )

    async with make_client() as client:
        yield Service(
            client,
            "Far",
            url,
            headers={"Authorization": f"Bearer {services.KEY}"},
            key=services.KEY,
            understand=understand,
        )


async def sent(call: Call, *replies: services.Reply) -> tuple[bytes | ProviderError, int]:
    """Return the body or the error, and how often the service was asked."""
    async with services.service(*replies) as fake, caller(fake.url) as far:
        try:
            answer: bytes | ProviderError = (await far.send(call)).body
        except ProviderError as error:
            answer = error
        return answer, len(fake.asked)


async def test_a_service_that_is_not_there_is_tried_again_and_cannot_have_billed() -> None:
    async with caller(f"http://127.0.0.1:{free_port()}") as far:
        started = time.monotonic()
        with pytest.raises(ProviderUnreachableError, match="cannot be reached") as caught:
            await far.send(DRAWS)
    assert not caught.value.may_have_billed
    assert time.monotonic() - started > 0.3  # three pauses


async def test_a_service_that_comes_up_meanwhile_is_reached_although_it_draws() -> None:
    port = free_port()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )
        await writer.drain()
        writer.close()

    async with caller(f"http://127.0.0.1:{port}") as far:
        answer = asyncio.create_task(far.send(DRAWS))
        await asyncio.sleep(0.05)
        async with await asyncio.start_server(late, "127.0.0.1", port):
            assert (await answer).body == b"{}"


@pytest.mark.parametrize("reply", [services.hanging_up, services.cut_after(b"{", 500)])
async def test_a_cut_line_while_drawing_is_never_tried_again(reply: services.Reply) -> None:
    error, asked = await sent(DRAWS, reply)
    assert isinstance(error, ProviderUnreachableError)
    assert (error.may_have_billed, asked) == (True, 1)


async def test_a_cut_line_while_asking_is_tried_again() -> None:
    body, asked = await sent(ASKS, services.hanging_up, saying({"ok": 1}))
    assert (body, asked) == (b'{"ok": 1}', 2)


async def test_a_call_that_does_no_more_twice_is_tried_again_although_it_draws() -> None:
    call = Call("POST", "/draw", body=b"{}", seconds=5, draws=True, repeatable=True)
    body, asked = await sent(call, services.hanging_up, saying({"ok": 1}))
    assert (body, asked) == (b'{"ok": 1}', 2)


async def test_silence_ends_at_the_deadline_and_may_have_been_billed() -> None:
    call = Call("POST", "/draw", body=b"{}", seconds=0.3, draws=True)
    started = time.monotonic()
    error, asked = await sent(call, services.silent)
    assert isinstance(error, ProviderUnreachableError)
    assert "within 0.3 seconds" in error.detail
    assert (error.may_have_billed, asked) == (True, 1)
    assert time.monotonic() - started < 3


async def test_a_service_that_trickles_gains_no_time() -> None:
    async def trickle(_: services.Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _i in range(100):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    call = Call("POST", "/draw", body=b"{}", seconds=0.4, draws=True)
    error, _ = await sent(call, trickle)
    assert isinstance(error, ProviderUnreachableError)


@pytest.mark.parametrize("kind", ["text/html", "image/png", "", "application/jsonp"])
async def test_another_content_type_than_documented_is_an_error(kind: str) -> None:
    error, asked = await sent(DRAWS, saying(b"<html>", kind=kind))
    assert isinstance(error, ProviderAnswerError)
    assert (error.may_have_billed, asked) == (True, 1)


async def test_a_huge_body_is_left_as_soon_as_it_is_too_long() -> None:
    async def endless(_: services.Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    call = Call("POST", "/draw", body=b"{}", seconds=5, draws=True, max_bytes=200_000)
    error, _ = await sent(call, endless)
    assert isinstance(error, ProviderAnswerError)
    assert "more than 200000 bytes" in error.detail


async def test_a_huge_errors_body_is_not_read_to_its_end() -> None:
    error, _ = await sent(DRAWS, saying(b"no " * 2**20, status=400))
    assert isinstance(error, ProviderRequestError)
    assert len(error.detail) < 400


async def test_a_compressed_body_is_refused_since_it_unpacks_without_bound() -> None:
    bomb = gzip.compress(b"0" * 2**20)
    error, _ = await sent(DRAWS, saying(bomb, headers={"Content-Encoding": "gzip"}))
    assert isinstance(error, ProviderAnswerError)


async def test_a_redirect_is_not_followed_so_the_key_stays() -> None:
    async with services.service(saying({})) as elsewhere:
        reply = saying(b"", status=307, headers={"Location": elsewhere.url})
        error, asked = await sent(DRAWS, reply)
        assert (isinstance(error, ProviderAnswerError), asked) == (True, 1)
        assert elsewhere.asked == []


async def test_a_key_that_the_service_repeats_does_not_come_through() -> None:
    error, _ = await sent(DRAWS, saying(f"bad key {services.KEY}".encode(), status=401))
    assert isinstance(error, ProviderError)
    assert services.KEY not in str(error)
    assert services.KEY not in repr(error)


LIMITED: dict[str, Any] = {"status": 429, "headers": {"Retry-After": "0"}}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date", "milliseconds"])
async def test_a_wait_that_is_asked_for_is_kept_and_then_it_is_tried_again(
    status: int, form: str
) -> None:
    headers = {
        "seconds": {"Retry-After": "1"},
        "date": {
            "Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        },
        "milliseconds": {"retry-after-ms": "700", "Retry-After": "99"},
    }[form]
    started = time.monotonic()
    body, asked = await sent(DRAWS, saying(b"", status=status, headers=headers), saying({"ok": 1}))
    assert (body, asked) == (b'{"ok": 1}', 2)
    assert 0.6 < time.monotonic() - started < 4


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    started = time.monotonic()
    limited = saying(b"slow down", status=429, headers={"Retry-After": "30"})
    error, asked = await sent(DRAWS, limited)
    assert isinstance(error, ProviderRateLimitedError)
    assert (error.retry_after_seconds, error.may_have_billed, asked) == (30, False, 1)
    assert time.monotonic() - started < 1


async def test_a_service_that_is_never_ready_is_asked_a_few_times_only() -> None:
    error, asked = await sent(DRAWS, saying(b"", **LIMITED))
    assert isinstance(error, ProviderRateLimitedError)
    assert asked == 4


@pytest.mark.parametrize("status", [400, 401, 402, 404, 429, 500, 502, 503, 504])
async def test_without_a_word_about_waiting_nothing_is_tried_again(status: int) -> None:
    error, asked = await sent(DRAWS, saying(b"no", status=status))
    assert isinstance(error, ProviderError)
    assert asked == 1
    assert error.may_have_billed == (status in (502, 504))


@given(tried=st.integers(1, 10), jitter=st.floats(0, 1), waits=st.none() | st.floats(0, 100))
def test_a_call_that_may_have_been_billed_is_never_sent_again(
    tried: int, jitter: float, waits: float | None
) -> None:
    error = ProviderUnreachableError("x", may_have_billed=True, retry_after_seconds=waits)
    error.__cause__ = httpx2.ReadError("x")
    assert pause_before_retry(error, DRAWS, tried, jitter=jitter) is None


@given(tried=st.integers(1, 3), jitter=st.floats(0, 1), waits=st.floats(0, 100))
def test_a_pause_is_never_shorter_than_asked_for_and_differs_between_callers(
    tried: int, jitter: float, waits: float
) -> None:
    error = ProviderRateLimitedError("x", retry_after_seconds=waits)
    pause = pause_before_retry(error, DRAWS, tried, jitter=jitter)
    assert pause is not None
    assert waits <= pause <= waits + max(0.1, waits * 0.1)


NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7),
        ("1.5", 1.5),
        ("Fri, 20 Nov 2026 12:01:00 GMT", 60),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0),
        ("Friday, 20-Nov-26 12:00:30 GMT", 30),
        ("999999999", 86_400),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("nan", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": said}, NOW) == seconds


@given(st.text())
def test_retry_after_is_never_a_crash(said: str) -> None:
    found = retry_after({"retry-after": said, "retry-after-ms": said}, NOW)
    assert found is None or 0 <= found <= 86_400


@given(st.binary(max_size=300))
def test_a_services_words_are_one_short_line_whatever_it_sent(body: bytes) -> None:
    words = cleaned(words_of(body))
    assert len(words) <= 303
    assert words.isprintable()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no"}}', "no"),
        (b'{"error": "Insufficient balance", "status": 402}', "Insufficient balance"),
        (b'{"error": 5, "message": "odd"}', "odd"),
        (b'{"detail": [{"msg": "field required"}]}', "field required"),
        (b"<html><style>p{}</style><p>Bad&nbsp;<b>gateway</b></html>", "Bad&nbsp; gateway"),
        (b"[" * 100_000, "[" * 300 + "..."),
    ],
)
def test_the_words_of_an_error_are_found_in_every_usual_shape(body: bytes, words: str) -> None:
    assert cleaned(words_of(body)) == words


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("http://box:8080", "http://box:8080/v1"),
        ("http://box:8080/v1/", "http://box:8080/v1"),
        ("https://host/api/v1", "https://host/api/v1"),
        ("https://host/v1beta", "https://host/v1beta"),
        ("https://host/openai", "https://host/openai/v1"),
    ],
)
def test_the_apis_version_stands_once_at_the_end_of_an_address(typed: str, meant: str) -> None:
    assert with_version(typed, "/v1") == meant


@pytest.mark.parametrize(
    "address", ["http://[::1", "http://box:99999", "http://b\u2028ox:x/", f"http://{'a' * 70}.b"]
)
def test_an_address_that_is_none_is_told_before_anything_is_asked(address: str) -> None:
    with pytest.raises(InvalidRequestError, match="no address of a service"):
        Service(
            httpx2.AsyncClient(),
            "Far",
            address,
            headers={},
            key=None,
            understand=lambda _: ProviderError("x"),
        )


@pytest.mark.parametrize("key", ["sk-\u2013dash", "sk-line\nbreak", "\0"])
async def test_a_key_that_no_header_can_hold_is_an_error_that_does_not_show_it(key: str) -> None:
    async with services.service(saying({})) as fake, make_client() as client:
        far = make_provider(
            services.connection("openai", "gpt-image-2", fake.url),
            key=key,
            client=client,
            fetch=SafeFetcher().get,
            load_source=services.load_source,
        )
        with pytest.raises(ProviderError) as caught:
            await far.check()
    assert key not in str(caught.value)


@pytest.mark.parametrize("piece", ["<", "<script", "<script>", "<style <"])
def test_words_made_to_take_long_are_cleaned_at_once(piece: str) -> None:
    started = time.monotonic()
    cleaned(piece * (65_536 // len(piece)))
    assert time.monotonic() - started < 0.5
