"""Gallery, models, API page and reference; every size, scheme and way of using them."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.serving import ServerProcess
from tests.web.visitor import Visit, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PLACES = ("Create", "Gallery", "Models", "API")


def drawn(server: ServerProcess, *prompts: str) -> None:
    for prompt in prompts:
        job = server.submit(prompt=prompt, num_inference_steps=1)
        assert server.wait_for(job["id"])["state"] == "succeeded"


def test_an_empty_gallery_teaches_one_thing_and_offers_one_step(visitor: Visitor) -> None:
    visitor.go("Gallery")
    expect(visitor.page.get_by_role("heading", name="No pictures yet")).to_be_visible()
    visitor.page.get_by_role("button", name="Draw the first one").click()
    expect(visitor.prompt).to_be_visible()


def test_the_gallery_is_searched_by_the_words_of_the_prompt(
    visitor: Visitor, server: ServerProcess
) -> None:
    drawn(server, "a bear at sea", "a fox at home")
    page = visitor.page
    visitor.go("Gallery")
    expect(page.locator(".pictures button")).to_have_count(2)
    page.keyboard.press("/")
    page.keyboard.type("bear")
    expect(page.locator(".pictures button")).to_have_count(1)
    page.get_by_role("searchbox").fill("lighthouse")
    expect(page.get_by_role("heading", name="Nothing matches “lighthouse”")).to_be_visible()
    page.get_by_role("button", name="Clear search").click()
    expect(page.locator(".pictures button")).to_have_count(2)


def test_a_model_that_a_service_draws_with_says_so(visitor: Visitor, server: ServerProcess) -> None:
    body = {"name": "nano", "provider": "gemini", "model": "gemini-3.1-flash-image", "key": "AIza"}
    made = server.client.post("/api/v1/connections", json=body).raise_for_status().json()
    try:
        visitor.page.reload()
        visitor.go("Models")
        card = visitor.page.locator("article", has_text="nano")
        expect(card).to_contain_text("Drawn by gemini, not on this machine")
        card.get_by_role("button", name="Draw with it").click()
        expect(visitor.page.locator("button.model")).to_contain_text("Ready, drawn by gemini")
    finally:
        server.client.delete(f"/api/v1/connections/{made['id']}").raise_for_status()
        visitor.page.reload()


def test_the_gallery_goes_on_in_pieces(visitor: Visitor, server: ServerProcess) -> None:
    asked: dict[str, Any] = {"prompt": "a fox", "num_inference_steps": 1, "num_images": 4}
    jobs = [server.submit(**asked) for _ in range(16)]
    server.wait_for(jobs[-1]["id"])
    visitor.go("Gallery")
    tiles = visitor.page.locator(".pictures button")
    expect(tiles.first).to_be_visible()
    visitor.page.locator(".gallery").evaluate("gallery => gallery.scrollTo(0, 99999)")
    expect(tiles).to_have_count(64)
    expect(visitor.page.get_by_role("button", name="Show more")).to_be_hidden()


def test_a_picture_opens_large_and_arrows_go_on(visitor: Visitor, server: ServerProcess) -> None:
    drawn(server, "the first", "the second")
    page = visitor.page
    visitor.go("Gallery")
    page.get_by_role("button", name="Open picture: the second").click()
    dialog = page.get_by_role("dialog", name="Picture")
    expect(dialog).to_contain_text("the second")
    expect(dialog.get_by_role("row", name="Seed")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(dialog.locator(".said")).to_have_text("the first")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Open picture: the second")).to_be_focused()


def test_the_file_is_downloaded_under_its_own_words(
    visitor: Visitor, server: ServerProcess
) -> None:
    drawn(server, "A bear, at sea!")
    visitor.go("Gallery")
    visitor.page.locator(".pictures button").click()
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("link", name="Download").click()
    seed = server.get("/api/v1/images")["items"][0]["seed"]
    assert download.value.suggested_filename == f"a-bear-at-sea-{seed}.png"


def test_models_say_their_state_and_the_way_on(visitor: Visitor, server: ServerProcess) -> None:
    visitor.go("Models")
    models = server.get("/api/v1/models")["items"]
    expect(visitor.page.locator("article.card")).to_have_count(len(models))
    expect(visitor.page.locator("article").get_by_text("Demonstration model").first).to_be_visible()
    expect(visitor.page.get_by_role("heading", name="From the demonstration")).to_be_visible()
    expect(visitor.page.locator(".command", has_text="greenroom models p").first).to_be_visible()


def test_the_api_page_shows_this_servers_address(visitor: Visitor) -> None:
    visitor.go("API")
    address = f"{visitor.address}/v1"
    expect(visitor.page.get_by_text(f'base_url="{address}"')).to_be_visible()
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.page.locator(".command", has_text=address).get_by_role("button").click()
    expect(visitor.page.get_by_text("Copied")).to_be_visible()
    assert visitor.page.evaluate("navigator.clipboard.readText()") == address


def test_the_reference_shows_every_route(visitor: Visitor, server: ServerProcess) -> None:
    paths = server.get("/openapi.json")["paths"]
    visitor.page.goto(f"{visitor.address}/docs")
    routes = visitor.page.locator("details.route")
    expect(routes).to_have_count(sum(len(item) for item in paths.values()))
    visitor.page.goto(f"{visitor.address}/docs#create_job")
    card = visitor.page.locator("#create_job")
    expect(card).to_have_attribute("open", "")
    expect(card.get_by_role("cell", name="num_inference_steps").first).to_be_visible()


def test_the_chosen_scheme_is_kept(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("button", name="Change to light").first.click()
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "light"
    expect(page.get_by_role("button", name="Change to dark").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_on_any_page(
    visit: Visit, server: ServerProcess, scheme: str, width: int
) -> None:
    visitor = visit(width=width, height=900, scheme=scheme)
    visitor.page.goto(visitor.address)
    assert visitor.faults() == []
    visitor.sign_in()
    assert visitor.faults() == []
    visitor.settings(Steps="2")
    visitor.draw("two foxes", count=2)
    assert visitor.faults() == []
    for place in PLACES[1:]:
        visitor.go(place)
        visitor.page.wait_for_timeout(300)
        assert visitor.faults() == [], place
    visitor.go("Gallery")
    visitor.page.locator(".pictures button").first.click()
    assert visitor.faults() == []
    visitor.page.goto(f"{visitor.address}/docs#create_job")
    expect(visitor.page.locator("#create_job")).to_have_attribute("open", "")
    assert visitor.faults() == []


def test_axe_while_something_is_drawn(visitor: Visitor) -> None:
    visitor.settings(Steps="100")
    visitor.generate("a long picture", count=4)
    visitor.wait_state("running")
    visitor.generate("the next one")
    expect(visitor.page.get_by_role("heading", name="Next")).to_be_visible()
    assert visitor.faults() == []


def test_axe_would_see_a_fault(visitor: Visitor) -> None:
    visitor.page.evaluate(
        "document.querySelector('#room').append(document.createElement('button'))"
    )
    assert any(fault.startswith("button-name") for fault in visitor.faults())


def test_nothing_scrolls_sideways_at_320_pixels(visit: Visit, server: ServerProcess) -> None:
    drawn(server, "a bear with an unbreakable-word-" + "x" * 80)
    visitor = visit(width=320, height=640)
    visitor.page.goto(visitor.address)
    assert not visitor.scrolls_sideways()
    visitor.sign_in()
    visitor.settings(Steps="2")
    assert not visitor.scrolls_sideways()
    visitor.draw("w" * 90, count=3)
    assert not visitor.scrolls_sideways()
    for place in PLACES[1:]:
        visitor.go(place)
        visitor.page.wait_for_timeout(300)
        assert not visitor.scrolls_sideways(), place
    visitor.go("Gallery")
    visitor.page.locator(".pictures button").last.click()
    assert not visitor.scrolls_sideways()
    visitor.page.goto(f"{visitor.address}/docs#create_job")
    assert not visitor.scrolls_sideways()


def test_the_keyboard_alone_is_enough_to_draw(visitor: Visitor) -> None:
    page = visitor.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Go to the page")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(visitor.prompt).to_be_focused()
    page.keyboard.type("a bear")
    while page.evaluate("document.activeElement.name") != "count":
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    while not page.locator(".go-button").evaluate("go => go === document.activeElement"):
        page.keyboard.press("Tab")
    expect(page.locator(".go-button")).to_contain_text("Generate 2 pictures")
    page.keyboard.press("Enter")
    visitor.wait_state("running")
