"""A person at a browser: what they do in words, and what must hold whatever they do."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.serving import TOKEN

AXE = Path(__file__).with_name("axe.min.js.gz")  # axe-core 4.14.1, MPL-2.0; used by tests only
DRAWN_MS = 60_000
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Visitor:
    """One browser window on the page; `close` checks that it stayed quiet and at home."""

    def __init__(
        self,
        browser: Browser,
        address: str,
        *,
        width: int = 1440,
        height: int = 900,
        scheme: str = "dark",
    ) -> None:
        self.address = address
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(15_000)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.tolerated: tuple[str, ...] = ()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        self.context.on("request", self._left)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console {message.type}: {message.text}")

    def _left(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.complaints.append(f"request to elsewhere: {request.url}")

    def close(self) -> None:
        """End the visit; nothing may have been complained about."""
        self.context.close()
        left = [c for c in self.complaints if not any(word in c for word in self.tolerated)]
        assert not left, "\n".join(left)

    def sign_in(self) -> Visitor:
        """Open the link that the server prints."""
        self.page.goto(f"{self.address}/?token={TOKEN}")
        expect(self.prompt).to_be_visible()
        expect(self.page.locator(".model strong")).not_to_have_text("No model yet")
        return self

    @property
    def prompt(self) -> Any:
        """The prompt's field."""
        return self.page.get_by_role("textbox", name="Prompt", exact=True)

    @property
    def stage(self) -> Any:
        """The stage; its data-state is idle, running or done."""
        return self.page.locator(".stage")

    def settings(self, **values: str) -> None:
        """Fill fields under Advanced, by their labels with underscores."""
        line = self.page.get_by_role("button", name="Advanced")
        if line.get_attribute("aria-expanded") == "false":
            line.click()
        for label, value in values.items():
            self.page.get_by_label(label.replace("_", " "), exact=True).fill(value)

    def generate(self, prompt: str, *, count: int = 1) -> None:
        """Write a prompt and press Generate."""
        self.prompt.fill(prompt)
        name = "1 picture" if count == 1 else f"{count} pictures"
        self.page.get_by_role("radio", name=name, exact=True).check(force=True)
        self.page.locator(".go-button").click()

    def wait_state(self, state: str) -> None:
        """Wait until the stage is idle, running or done."""
        expect(self.stage).to_have_attribute("data-state", state, timeout=DRAWN_MS)

    def draw(self, prompt: str, *, count: int = 1) -> None:
        """Generate, and wait for the pictures."""
        self.generate(prompt, count=count)
        expect(self.page.locator(".stage-head h1")).to_have_text(prompt, timeout=DRAWN_MS)
        self.wait_state("done")

    def go(self, place: str) -> None:
        """Open one of the four places, and wait until it is shown."""
        link = self.page.get_by_role("navigation", name="Main").get_by_role("link", name=place)
        link.click()
        # Else the next click may find a button of the place that is being left.
        expect(link).to_have_attribute("aria-current", "page")

    def faults(self) -> list[str]:
        """What axe finds wrong: rule and elements."""
        self.page.evaluate(gzip.decompress(AXE.read_bytes()).decode())
        found: dict[str, Any] = self.page.evaluate(
            "rules => axe.run(document, {runOnly: rules})", _RULES
        )
        return [
            f"{rule['id']}: {node['target']} {node['failureSummary']}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    def scrolls_sideways(self) -> bool:
        """Return whether the page is wider than the window."""
        wide: bool = self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        return wide


Visit = Callable[..., Visitor]  # opens a window; takes width, height and scheme
