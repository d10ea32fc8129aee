"""A real server that really draws, and a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.editors import add_editors
from tests.requirements import require
from tests.serving import ServerProcess
from tests.web.visitor import Visit, Visitor

# Chromium must not call home, and containers have little shared memory.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


# Not for the whole run: Playwright's event loop would be in the way of asynchronous tests.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    require("Chromium (the Debian package chromium)", present=CHROMIUM is not None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def server(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, scribble_models: Path
) -> Iterator[ServerProcess]:
    """A server with small random models of all tasks, for all tests here.

    It comes after the browser.
    """
    del browser
    folder = tmp_path_factory.mktemp("web")
    shutil.copytree(scribble_models, folder / "models")
    server = ServerProcess(folder / "data", folder / "models")
    add_editors(folder / "models", folder / "data")
    with server:
        yield server


@pytest.fixture
def empty(server: ServerProcess) -> None:
    """No work and no pictures left from the test before."""
    for job in server.get("/api/v1/jobs?state=queued,running&limit=200")["items"]:
        server.client.delete(f"/api/v1/jobs/{job['id']}").raise_for_status()
        server.wait_for(job["id"])
    for image in server.get("/api/v1/images?limit=200")["items"]:
        server.client.delete(f"/api/v1/images/{image['id']}").raise_for_status()


@pytest.fixture
def visit(browser: Browser, server: ServerProcess, empty: None) -> Iterator[Visit]:
    """Open windows; each is checked for complaints at the end."""
    del empty
    visitors: list[Visitor] = []

    def open_window(**window: object) -> Visitor:
        address = str(server.client.base_url).rstrip("/")
        visitors.append(Visitor(browser, address, **window))  # type: ignore[arg-type]
        return visitors[-1]

    yield open_window
    for visitor in visitors:
        visitor.close()


@pytest.fixture
def visitor(visit: Visit) -> Visitor:
    """A signed-in window of 1440 by 900."""
    return visit().sign_in()
