"""The door on its own, without a server behind it: Host, Origin, headers."""

from __future__ import annotations

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from server.api.guard import Guard


async def _greet(request: Request) -> Response:
    del request
    return PlainTextResponse("in", headers={"Cross-Origin-Resource-Policy": "cross-origin"})


DOOR = Guard(
    Starlette(routes=[Route("/{rest:path}", _greet, methods=["GET", "POST", "DELETE"])]),
    ["pictures.example"],
)


async def knock(method: str = "GET", path: str = "/", **headers: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=DOOR)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        return await client.request(method, path, headers=named)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8080",
        "localhost",
        "LocalHost:8080",
        "localhost.",
        "studio.localhost:1",
        "[::1]:8080",
        "192.168.1.7:8080",
        "pictures.example",
        "Pictures.Example:443",
    ],
)
async def test_a_host_that_is_ours_is_answered(host: str) -> None:
    assert (await knock(host=host)).text == "in"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "pictures.example.evil.example",
        "sub.pictures.example",
        "[::1.evil]",
        "",
    ],
)
async def test_a_name_that_is_not_ours_is_refused(host: str) -> None:
    """DNS rebinding: the browser believes a foreign name to be this machine."""
    response = await knock(host=host)
    assert (response.status_code, response.json()["type"]) == (403, "/problems/forbidden")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost", "http://localhost"),
        ("localhost", "http://localhost:80"),
        ("pictures.example", "https://pictures.example"),  # TLS ends at a proxy
        ("pictures.example:443", "https://pictures.example"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
async def test_our_own_page_may_change_things(host: str, origin: str) -> None:
    assert (await knock("POST", host=host, origin=origin, cookie="a=b")).text == "in"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://127.0.0.1:3000",  # another program of this machine is another origin
        "https://127.0.0.1",
        "http://localhost:8080",
        "null",
        "",
        "file://",
    ],
)
async def test_a_page_of_another_origin_may_not(method: str, origin: str) -> None:
    response = await knock(method, host="127.0.0.1:8080", origin=origin)
    assert response.status_code == 403


async def test_a_foreign_page_may_not_use_the_cookie_even_to_look() -> None:
    foreign = {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:3000"}
    assert (await knock(**foreign, cookie="greenroom_session=x")).status_code == 403
    assert (await knock(**foreign)).text == "in"  # without it there is nothing to steal


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)],
)
async def test_a_browser_that_sends_no_origin_is_judged_by_fetch_metadata(
    site: str, status: int
) -> None:
    assert (await knock("POST", sec_fetch_site=site)).status_code == status
    assert (await knock("GET", sec_fetch_site=site, cookie="a=b")).text == "in"


async def test_programs_send_neither_and_are_let_in() -> None:
    assert (await knock("POST")).text == "in"


async def test_every_answer_carries_the_security_headers_also_a_refusal() -> None:
    for response in (await knock(), await knock(host="evil.example")):
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"


async def test_a_route_may_say_otherwise() -> None:
    assert (await knock()).headers["Cross-Origin-Resource-Policy"] == "cross-origin"


async def test_openais_surface_is_refused_in_openais_form() -> None:
    response = await knock(path="/v1/models", host="evil.example")
    assert response.json()["error"]["code"] == "forbidden"
