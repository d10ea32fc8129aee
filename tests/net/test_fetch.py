from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.domain.errors import FetchFailedError, FetchRefusedError
from server.net.fetch import SafeFetcher
from tests.net.peer import Answer, peer, redirecting, saying


def anywhere(address: str) -> bool:
    return bool(address)


OPEN = SafeFetcher(allows=anywhere)


async def fetch(fetcher: SafeFetcher, url: str, *, seconds: float = 5, size: int = 1000) -> bytes:
    return await fetcher.get(url, max_bytes=size, timeout_seconds=seconds)


async def test_a_body_is_fetched() -> None:
    async with peer(saying(b"picture")) as server:
        assert await fetch(OPEN, f"{server.url}/a.png?x=1") == b"picture"
    assert server.requests[0].startswith("GET /a.png?x=1 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",  # noqa: S104 - an address to refuse, nothing listens
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "169.254.169.254",
        "[fe80::1]",
        "[64:ff9b::a9fe:a9fe]",
    ],
)
async def test_an_address_that_is_not_public_is_refused_however_it_is_spelled(host: str) -> None:
    async with peer(saying(b"secret")) as server:
        with pytest.raises((FetchRefusedError, FetchFailedError)) as caught:
            await fetch(SafeFetcher(), f"http://{host}:{server.port}/")
        assert server.requests == []
    # What the resolver does not even take for an address has failed; nothing else may.
    assert isinstance(caught.value, FetchRefusedError) or "is not known" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a.png",
        "gopher://example.com/",
        "data:image/png;base64,AAAA",
        "//example.com/a.png",
        "example.com/a.png",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http:///a.png",
        "http://[fe80::1%25eth0]/",
        "http://example.com:99999/",
    ],
)
async def test_an_address_of_another_kind_is_refused_before_any_lookup(url: str) -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        raise AssertionError((host, port))

    with pytest.raises(FetchRefusedError):
        await fetch(SafeFetcher(resolve=never), url)


@pytest.mark.parametrize("url", ["http://[::1", "http://exa mple\u2024.com", "http://a\x00b/"])
async def test_nonsense_is_a_named_error(url: str) -> None:
    with pytest.raises(FetchRefusedError, match="not a valid one"):
        await fetch(SafeFetcher(), url)


async def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    async def mixed(host: str, port: int) -> Sequence[str]:
        del host, port
        return ["8.8.8.8", "10.0.0.1"]

    with pytest.raises(FetchRefusedError, match="not a public address"):
        await fetch(SafeFetcher(resolve=mixed), "http://pictures.test/")


async def test_an_unknown_name_has_failed() -> None:
    with pytest.raises(FetchFailedError, match="is not known"):
        await fetch(SafeFetcher(), "http://no-such-name.invalid/")


async def test_a_name_is_resolved_once_and_the_connection_goes_to_that_answer() -> None:
    """DNS rebinding: the second answer would be another machine; it is never asked for."""
    async with peer(saying(b"right")) as right, peer(saying(b"wrong")) as wrong:
        answers = iter([["127.0.0.1"], ["127.0.0.2"]])

        async def resolve(host: str, port: int) -> Sequence[str]:
            assert (host, port) == ("pictures.test", right.port)
            return next(answers)

        fetcher = SafeFetcher(allows=anywhere, resolve=resolve)
        assert await fetch(fetcher, f"http://pictures.test:{right.port}/") == b"right"
        assert next(answers) == ["127.0.0.2"]
        assert wrong.requests == []
    assert f"host: pictures.test:{right.port}\r\n" in right.requests[0].lower()


async def test_the_next_address_is_tried_when_one_does_not_connect() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        del host, port
        return ["::1", "127.0.0.1"]  # the peer listens on IPv4 alone

    async with peer(saying(b"picture")) as server:
        fetcher = SafeFetcher(allows=anywhere, resolve=resolve)
        assert await fetch(fetcher, f"http://pictures.test:{server.port}/") == b"picture"


async def test_redirects_are_followed() -> None:
    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        there = redirecting("/there") if head.startswith("GET / ") else saying(b"there")
        await there(head, writer)

    async with peer(answer) as server:
        assert await fetch(OPEN, f"{server.url}/") == b"there"


async def test_a_redirect_to_an_address_that_is_not_allowed_is_refused() -> None:
    fetcher = SafeFetcher(allows=lambda address: address == "127.0.0.1")
    async with peer(saying(b"secret"), host="127.0.0.2") as inner:
        async with peer(redirecting(f"http://127.0.0.2:{inner.port}/")) as outer:
            with pytest.raises(FetchRefusedError, match=r"'127\.0\.0\.2' is not a public address"):
                await fetch(fetcher, outer.url)
        assert inner.requests == []
        assert await fetch(OPEN, f"http://127.0.0.2:{inner.port}/") == b"secret"


async def test_a_redirect_to_another_scheme_is_refused() -> None:
    async with peer(redirecting("file:///etc/passwd")) as server:
        with pytest.raises(FetchRefusedError, match="only http and https"):
            await fetch(OPEN, server.url)


async def test_a_circle_of_redirects_ends() -> None:
    async with peer(redirecting("/")) as server:
        with pytest.raises(FetchRefusedError, match="more than 3 times"):
            await fetch(OPEN, server.url)
    assert len(server.requests) == 4


async def test_too_large_a_body_is_refused_when_it_says_so() -> None:
    async with peer(saying(b"x" * 1001)) as server:
        with pytest.raises(FetchRefusedError, match="larger than 1000 bytes"):
            await fetch(OPEN, server.url)


async def test_a_body_without_end_is_refused_as_soon_as_it_is_too_large() -> None:
    async def answer(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 1000)
            await writer.drain()

    async with peer(answer) as server:
        with pytest.raises(FetchRefusedError, match="larger than 1000 bytes"):
            await fetch(OPEN, server.url)


def trickling(head: bytes, piece: bytes) -> Answer:
    async def answer(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)

    return answer


@pytest.mark.parametrize(
    ("head", "piece"),
    [(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"), (b"HTTP/1.1 200 OK\r\n\r\n", b"x"), (b"", b"")],
    ids=["headers", "body", "silence"],
)
async def test_a_server_that_trickles_is_left_in_time(head: bytes, piece: bytes) -> None:
    async with peer(trickling(head, piece)) as server:
        with pytest.raises(FetchFailedError, match=r"within 0\.3 seconds"):
            await fetch(OPEN, server.url, seconds=0.3, size=10**6)


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "206 Partial"])
async def test_an_answer_without_a_body_of_its_own_has_failed(status: str) -> None:
    async with peer(saying(b"", status=status)) as server:
        with pytest.raises(FetchFailedError, match=status[:3]):
            await fetch(OPEN, server.url)


async def test_a_compressed_body_is_not_unpacked() -> None:
    async with peer(saying(b"bomb", head="Content-Encoding: gzip\r\n")) as server:
        with pytest.raises(FetchFailedError, match="compressed"):
            await fetch(OPEN, server.url)
    assert "accept-encoding: identity\r\n" in server.requests[0].lower()


async def test_what_does_not_speak_http_or_does_not_listen_has_failed() -> None:
    async def answer(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test ESMTP\r\n")

    async with peer(answer) as server:
        with pytest.raises(FetchFailedError):
            await fetch(OPEN, server.url)
    with pytest.raises(FetchFailedError):  # and now it is closed
        await fetch(OPEN, server.url)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with peer(saying(b"picture")) as server:
        assert await fetch(OPEN, server.url) == b"picture"


async def test_tls_is_verified_for_the_name_though_the_connection_is_pinned(tmp_path: Path) -> None:
    serving, trusting = _certificate("pictures.test", tmp_path)

    async def resolve(host: str, port: int) -> Sequence[str]:
        del host, port
        return ["127.0.0.1"]

    fetcher = SafeFetcher(allows=anywhere, resolve=resolve, tls=trusting)
    async with peer(saying(b"picture"), tls=serving) as server:
        assert await fetch(fetcher, f"https://pictures.test:{server.port}/") == b"picture"
        with pytest.raises(FetchFailedError, match="ConnectError"):
            await fetch(fetcher, f"https://other.test:{server.port}/")
        with pytest.raises(FetchFailedError, match="ConnectError"):  # not among the public ones
            await fetch(
                SafeFetcher(allows=anywhere, resolve=resolve),
                f"https://pictures.test:{server.port}/",
            )


async def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path) -> None:
    serving, trusting = _certificate("localhost", tmp_path)
    answer = redirecting("http://localhost/")
    async with peer(answer, tls=serving) as server:
        with pytest.raises(FetchRefusedError, match="from https to http"):
            await fetch(
                SafeFetcher(allows=anywhere, tls=trusting), f"https://localhost:{server.port}/"
            )


def _certificate(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a context that serves `name` and one that trusts nobody but it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    file = folder / "server.pem"
    file.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    return serving, ssl.create_default_context(cadata=pem.decode())
