"""The page says what a press of the button costs, before it is pressed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.serving import ServerProcess
from tests.web.visitor import Visitor


@pytest.fixture(params=["", "0.000001"])
def priced(
    request: pytest.FixtureRequest, browser: Browser, tmp_path: Path, scribble_models: Path
) -> Iterator[tuple[Visitor, str]]:
    """A window on a server with a price, and what a credit is there."""
    credit: str = request.param
    settings = {"GREENROOM_GPU_PRICE_PER_HOUR": "3600"}
    settings |= {"GREENROOM_CREDIT_PRICE": credit} if credit else {}
    with ServerProcess(tmp_path / "data", scribble_models, settings=settings) as server:
        server.wait_for(server.submit(prompt="a fox", num_inference_steps=2)["id"])
        address = str(server.client.base_url).rstrip("/")
        visitor = Visitor(browser, address).sign_in()
        yield visitor, credit
        visitor.close()


@pytest.mark.slow
def test_the_button_says_what_it_costs(priced: tuple[Visitor, str]) -> None:
    visitor, credit = priced
    said = r"about .+, [\d,]+ credits" if credit else r"about .+, \$[\d.]+"
    expect(visitor.page.locator(".go-cost")).to_have_text(re.compile(said))
    expect(visitor.page.locator(".go-cost")).to_have_attribute(
        "title", re.compile("at 3600.00 USD an hour")
    )
