"""What is served for the page: types, rules for caches, and a strict content policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from server.api.auth import COOKIE
from server.api.pages import PAGE_FOLDER, install_pages

TOKENS = (PAGE_FOLDER / "css" / "tokens.css").read_text("utf-8")
SURFACES = ("bg", "panel", "card", "control", "stage", "frame", "pool")
# Which colours stand on which, and the least ratio: 4.5 for words, 3 for shapes with a meaning.
CONTRASTS = (
    (("text", "text-2", "text-3", "green-text", "gold", "rose", "dusk"), SURFACES, 4.5),
    (("text", "text-2", "green-text"), ("green-soft",), 4.5),
    (("text", "text-2", "rose"), ("rose-soft",), 4.5),
    (("on-green",), ("green", "green-hover"), 4.5),
    (("on-wall", "on-wall-2", "wall-mark", "wall-lamp"), ("wall", "wall-hover"), 4.5),
    (("edge", "green", "focus"), SURFACES, 3.0),
    (("gold-lamp",), ("bg", "panel", "card", "control", "stage"), 3.0),
)


@pytest.fixture
def client() -> TestClient:
    app = FastAPI(docs_url=None, redoc_url=None)
    install_pages(app)
    return TestClient(app)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/static/js/main.js", "text/javascript; charset=utf-8"),
        ("/static/css/tokens.css", "text/css; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
        ("/static/fonts/besley-500.woff2", "font/woff2"),
    ],
)
def test_files_have_their_types(client: TestClient, path: str, media_type: str) -> None:
    assert client.get(path).headers["content-type"] == media_type


def test_fonts_are_kept_and_the_rest_is_asked_for_again(client: TestClient) -> None:
    font = client.get("/static/fonts/hanken-grotesk.woff2")
    assert "immutable" in font.headers["cache-control"]
    script = client.get("/static/js/main.js")
    assert script.headers["cache-control"] == "no-cache"
    again = client.get("/static/js/main.js", headers={"If-None-Match": script.headers["etag"]})
    assert again.status_code == 304


def test_the_way_out_of_the_folder_is_closed(client: TestClient) -> None:
    for path in (
        "/static/../pages.py",
        "/static/%2e%2e/pages.py",
        "/static/js/%2e%2e/%2e%2e/pages.py",
    ):
        assert client.get(path).status_code == 404


def test_the_content_policy_allows_nothing_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/docs", "/signin"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy


def test_without_a_cookie_the_page_and_the_reference_are_the_sign_in_page(
    client: TestClient,
) -> None:
    for path, heading in (("/", "<title>Greenroom"), ("/docs", "<title>API reference")):
        assert "<title>Sign in" in client.get(path).text
        client.cookies.set(COOKIE, "anything")
        assert heading in client.get(path).text
        client.cookies.clear()


@pytest.mark.parametrize("page", sorted(PAGE_FOLDER.glob("*.html")), ids=lambda page: page.name)
def test_pages_have_nothing_inline_and_name_only_files_that_are_there(page: Path) -> None:
    html = page.read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)", html) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", html) == []
    for path in re.findall(r"/static/([^\"]+)", html):
        assert (PAGE_FOLDER / path).is_file(), path


@pytest.mark.parametrize("script", sorted(PAGE_FOLDER.glob("js/*.js")), ids=lambda s: s.name)
def test_scripts_import_what_exists_and_build_no_html(script: Path) -> None:
    source = script.read_text("utf-8")
    for path in re.findall(r"from \"(\./[^\"]+)\"", source):
        assert (script.parent / path).is_file(), path
    assert re.findall(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(", source) == []
    assert source.count("\n") < 330


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_pair_of_colours_has_enough_contrast(scheme: str) -> None:
    colours = scheme_colours(scheme)
    for over, under, least in CONTRASTS:
        for front in over:
            for back in under:
                found = contrast(colours[front], colours[back])
                assert found >= least, f"{front} on {back}: {found:.2f}"


def scheme_colours(scheme: str) -> dict[str, str]:
    """Return the tokens of one scheme, by name."""
    both = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", TOKENS)
    same = re.findall(r"--([\w-]+): (#\w{6});", TOKENS)
    chosen = {name: light if scheme == "light" else dark for name, light, dark in both}
    return {**dict(same), **chosen}


def contrast(first: str, second: str) -> float:
    """Return the WCAG 2.2 contrast ratio of two #rrggbb colours."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance, 0 to 1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
