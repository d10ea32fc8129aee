"""Drawing at the page, from the first prompt to the deleted picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.engine.adapters import made
from tests.serving import TOKEN, ServerProcess
from tests.web.visitor import DRAWN_MS, Visit, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG = "100"  # steps: enough to look at it while it runs


def test_without_a_session_the_page_asks_for_the_token(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(visitor.address)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Token").fill("not the token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("This token was refused.")).to_be_visible()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(visitor.prompt).to_be_visible()


def test_the_printed_link_signs_in_and_the_token_leaves_the_address(visitor: Visitor) -> None:
    assert TOKEN not in visitor.page.url


def test_signing_out_ends_the_session(visitor: Visitor) -> None:
    visitor.page.get_by_role("button", name="Sign out").click()
    expect(visitor.page.get_by_label("Token")).to_be_visible()
    visitor.page.goto(visitor.address)
    expect(visitor.page.get_by_label("Token")).to_be_visible()


def test_generate_says_why_it_waits_for_a_prompt(visitor: Visitor) -> None:
    go = visitor.page.locator(".go-button")
    expect(go).to_have_attribute("aria-disabled", "true")
    expect(visitor.page.get_by_text("Write a prompt first.")).to_be_visible()
    go.click(force=True)  # it is disabled for ARIA only, so that its reason is read out
    visitor.wait_state("idle")


def test_a_prompt_becomes_pictures_with_progress_and_preview(visitor: Visitor) -> None:
    page = visitor.page
    visitor.settings(Steps=LONG)
    visitor.generate("a bear on the beach", count=2)
    visitor.wait_state("running")
    expect(page.get_by_text("Drawing now")).to_be_visible(timeout=DRAWN_MS)
    expect(page.locator(".now")).to_contain_text(re.compile(r"\d+ of 200 steps"))
    expect(page.locator(".spot-open img[src^='data:image/']").first).to_be_visible(timeout=DRAWN_MS)
    visitor.wait_state("done")
    expect(page.locator(".spot-open img[src$='/file']")).to_have_count(2)
    expect(page.locator(".stage-head")).to_contain_text("2 pictures in")
    assert page.locator(".spot-open img").first.evaluate("image => image.naturalWidth") > 0


def test_control_and_enter_draw_with_the_seed_that_was_set(
    visitor: Visitor, server: ServerProcess
) -> None:
    visitor.settings(Seed="4711", Steps="2")
    visitor.prompt.fill("a fox")
    visitor.prompt.press("Control+Enter")
    visitor.wait_state("done")
    (image,) = server.get("/api/v1/images")["items"]
    assert (image["seed"], image["recipe"]["num_inference_steps"]) == (4711, 2)
    expect(visitor.page.locator(".facts")).to_contain_text("4 711")


def test_a_reload_takes_up_running_work_and_keeps_the_prompt(visitor: Visitor) -> None:
    visitor.settings(Steps=LONG)
    visitor.generate("a lighthouse in the storm", count=4)
    visitor.wait_state("running")
    visitor.page.reload()
    visitor.wait_state("running")
    expect(visitor.page.locator(".stage-head h1")).to_have_text("a lighthouse in the storm")
    expect(visitor.prompt).to_have_value("a lighthouse in the storm")
    visitor.wait_state("done")
    expect(visitor.page.locator(".spot-open img[src$='/file']")).to_have_count(4)


def test_a_second_window_sees_the_same_work(visit: Visit, visitor: Visitor) -> None:
    other = visit().sign_in()
    visitor.settings(Steps=LONG)
    visitor.generate("a robot mends the clock", count=2)
    expect(other.page.locator(".stage-head h1")).to_have_text("a robot mends the clock")
    other.wait_state("done")


def test_cancel_stops_the_work(visitor: Visitor, server: ServerProcess) -> None:
    visitor.settings(Steps=LONG)
    visitor.generate("a very long picture", count=4)
    visitor.wait_state("running")
    visitor.page.get_by_role("button", name="Cancel", exact=True).click()
    expect(visitor.stage).not_to_have_attribute("data-state", "running")
    assert server.get("/api/v1/jobs?limit=1")["items"][0]["state"] == "cancelled"


def test_deleting_asks_first_and_then_deletes_for_good(
    visitor: Visitor, server: ServerProcess
) -> None:
    page = visitor.page
    visitor.settings(Steps="2")
    visitor.draw("a frog in the snow")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep it").click()
    assert len(server.get("/api/v1/images")["items"]) == 1
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete for good").click()
    visitor.wait_state("idle")
    assert server.get("/api/v1/images")["items"] == []


def test_one_of_four_pictures_can_be_deleted_and_three_stay_on_stage(visitor: Visitor) -> None:
    page = visitor.page
    visitor.settings(Steps="2")
    visitor.draw("four foxes", count=4)
    page.get_by_role("radio", name="Picture 2").check(force=True)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".spot-open img")).to_have_count(3)
    expect(page.locator(".stage-head")).to_contain_text("3 pictures")


def test_settings_of_a_picture_are_reused(visitor: Visitor) -> None:
    page = visitor.page
    visitor.settings(Seed="99", Steps="3", Leave_out="rain")
    visitor.draw("a rabbit plants a tree")
    visitor.settings(Seed="", Steps="8", Leave_out="")
    visitor.prompt.fill("something else")
    page.get_by_role("button", name="Reuse settings").click()
    expect(visitor.prompt).to_have_value("a rabbit plants a tree")
    expect(page.get_by_label("Seed")).to_have_value("99")
    expect(page.get_by_label("Steps")).to_have_value("3")
    expect(page.get_by_label("Leave out")).to_have_value("rain")


def test_adapters_of_a_picture_are_reused_in_the_prompt(
    visitor: Visitor, server: ServerProcess, tmp_path: Path
) -> None:
    data = made.written(made.query(), tmp_path).read_bytes()
    files = {"file": ("Ink.safetensors", data)}
    assert server.client.post("/api/v1/adapters", files=files).status_code == 201
    visitor.settings(Steps="2")
    visitor.draw("a rabbit <lora:ink:0.5> plants a tree")
    visitor.prompt.fill("something else")
    visitor.page.get_by_role("button", name="Reuse settings").click()
    expect(visitor.prompt).to_have_value("a rabbit plants a tree <lora:ink:0.5>")


def test_a_picture_is_drawn_from_a_source_picture(visitor: Visitor, server: ServerProcess) -> None:
    page = visitor.page
    visitor.settings(Steps="4")
    visitor.draw("a fox")
    page.get_by_role("button", name="Use as source").click()
    page.get_by_role("slider", name="Strength").fill("0.5")
    visitor.draw("a fox in the rain")
    recipe = server.get("/api/v1/images")["items"][0]["recipe"]
    assert recipe["image"] is not None
    assert recipe["strength"] == 0.5


def test_a_file_that_is_no_picture_is_said_in_words(visitor: Visitor, tmp_path: Path) -> None:
    sketch = tmp_path / "sketch.png"
    sketch.write_text("no picture")
    visitor.tolerated = ("status of 422", "status of 415", "status of 400")
    visitor.page.locator("input[type=file]").set_input_files(sketch)
    expect(visitor.page.get_by_role("alert")).to_contain_text("“sketch.png” cannot be read.")


def test_a_server_that_goes_away_is_said_and_found_again(
    visitor: Visitor, server: ServerProcess
) -> None:
    visitor.tolerated = (
        "ERR_CONNECTION_REFUSED",
        "ERR_CONNECTION_RESET",
        "ERR_INCOMPLETE_CHUNKED",
        "ERR_NETWORK",
        "ERR_EMPTY",
    )
    visitor.prompt.fill("a prompt that must not be lost")
    server.kill()
    try:
        box = visitor.page.get_by_role("alert")
        expect(box).to_contain_text("The server does not answer.", timeout=20_000)
        expect(box).to_contain_text("Your prompt is kept here.")
        box.get_by_role("button", name="Try now").click()
    finally:
        server.start()
    expect(box).to_have_count(0, timeout=20_000)
    expect(visitor.prompt).to_have_value("a prompt that must not be lost")
    visitor.settings(Steps="2")
    visitor.draw("a bear comes back")


def test_a_prompt_that_looks_like_html_stays_text(visitor: Visitor) -> None:
    words = "<img src=x onerror=alert(1)><b>bear</b>"
    visitor.settings(Steps="2")
    visitor.draw(words)
    expect(visitor.page.locator(".stage-head h1")).to_have_text(words)
    assert visitor.page.locator("b").count() == 0


def test_the_form_is_drawn_from_what_the_model_declares(
    visitor: Visitor, server: ServerProcess
) -> None:
    models = server.get("/api/v1/models")["items"]
    ready = [model for model in models if model["state"] == "ready"]
    assert ready
    for model in ready:
        visitor.page.locator(".model").click()
        visitor.page.locator(".model-list label", has_text=model["name"]).click()
        visitor.settings()
        pictured = ("image", "images", "outpaint", "pair", "adapters")
        named = {p["name"] for p in model["parameters"] if p["type"] not in pictured} - {"strength"}
        shown = visitor.page.locator(".advanced [id^=parameter-]:is(input, select, textarea)")
        expect(shown).to_have_count(len(named))
        assert {f.get_attribute("id") for f in shown.all()} == {f"parameter-{n}" for n in named}
