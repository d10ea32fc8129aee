"""Drawing from pictures at the page: a mask beside the picture, and references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.editors import EDITOR, FILLER
from tests.serving import ServerProcess
from tests.web.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Pictures to choose, by name."""
    made = {}
    for name, size, colour in (
        ("start", (96, 96), "green"),
        ("mask", (96, 96), "white"),
        ("wide", (96, 48), "white"),
    ):
        made[name] = tmp_path / f"{name}.png"
        Image.new("RGB", size, colour).save(made[name])
    return made


def choose_model(visitor: Visitor, server: ServerProcess, model: str) -> None:
    name = server.get(f"/api/v1/models/{model}")["name"]
    visitor.page.locator(".model").click()
    visitor.page.locator(".model-list label", has_text=name).click()


def choose(visitor: Visitor, button: str, file: Path) -> None:
    with visitor.page.expect_file_chooser() as chooser:
        visitor.page.get_by_role("button", name=button, exact=True).click()
    chooser.value.set_files(file)


def newest(server: ServerProcess) -> dict[str, Any]:
    job: dict[str, Any] = server.get("/api/v1/jobs?limit=1")["items"][0]
    return job


def test_a_mask_is_chosen_beside_the_picture_it_belongs_to(
    visitor: Visitor, server: ServerProcess, files: dict[str, Path]
) -> None:
    page = visitor.page
    strength = page.get_by_role("slider", name="Strength")
    visitor.settings(Steps="2")
    expect(page.get_by_role("button", name="Add a mask")).to_have_count(0)
    choose(visitor, "Start from a picture", files["start"])
    expect(strength).to_have_value("0.6")
    choose(visitor, "Add a mask", files["mask"])
    expect(strength).to_have_value("1")
    expect(page.locator(".source strong")).to_have_text(["Source picture", "Mask"])
    assert visitor.faults() == []
    visitor.draw("a fox behind a wall")
    job = newest(server)
    assert job["resolved"]["strength"] == 1.0
    assert job["images"][0]["recipe"]["mask"] is not None

    page.reload()
    expect(page.locator(".source strong")).to_have_text(["Source picture", "Mask"])
    page.get_by_role("button", name="Remove the mask").click()
    expect(strength).to_have_value("0.6")
    choose(visitor, "Add a mask", files["mask"])
    page.get_by_role("button", name="Remove the source picture").click()
    expect(page.locator(".source")).to_have_count(0)
    visitor.draw("a fox without pictures")
    assert newest(server)["resolved"]["mask"] is None


def test_a_mask_of_another_shape_is_said_in_words(visitor: Visitor, files: dict[str, Path]) -> None:
    visitor.tolerated = ("status of 422",)
    choose(visitor, "Start from a picture", files["start"])
    choose(visitor, "Add a mask", files["wide"])
    visitor.generate("a fox")
    expect(visitor.page.get_by_role("alert")).to_contain_text("give a mask of the image's shape")


def test_the_shape_follows_the_picture_until_one_is_chosen(
    visitor: Visitor, server: ServerProcess, files: dict[str, Path]
) -> None:
    page = visitor.page
    visitor.settings(Steps="2")
    expect(page.get_by_role("radio", name="1:1,")).to_be_checked()
    choose(visitor, "Start from a picture", files["wide"])
    expect(page.get_by_role("radio", name="3:2,")).to_be_checked()
    visitor.draw("a wide fox")
    assert newest(server)["resolved"]["width"] == 192
    page.get_by_role("radio", name="3:4,").check(force=True)
    visitor.draw("a tall fox")
    assert newest(server)["resolved"]["height"] == 144


def test_a_model_that_repaints_waits_for_a_picture_and_its_mask(
    visitor: Visitor, server: ServerProcess, files: dict[str, Path]
) -> None:
    go = visitor.page.locator(".go-button")
    choose_model(visitor, server, FILLER)
    visitor.prompt.fill("a fox")
    expect(visitor.page.get_by_text("This model repaints: add a picture")).to_be_visible()
    visitor.page.wait_for_timeout(1_000)  # no estimate is asked for, which would be refused
    choose(visitor, "Start from a picture", files["start"])
    expect(go).to_have_attribute("aria-disabled", "true")
    choose(visitor, "Add a mask", files["mask"])
    expect(go).to_have_attribute("aria-disabled", "false")


def test_references_are_chosen_where_the_model_looks_at_them(
    visitor: Visitor, server: ServerProcess, files: dict[str, Path]
) -> None:
    page = visitor.page
    choose_model(visitor, server, EDITOR)
    expect(page.get_by_role("button", name="Start from a picture")).to_have_count(0)
    for number, name in enumerate(("start", "wide", "mask", "start"), 1):
        choose(visitor, "Add a reference picture", files[name])
        expect(page.locator(".source strong")).to_have_count(number)
    expect(page.get_by_role("button", name="Add a reference picture")).to_have_count(0)
    page.get_by_role("button", name="Remove reference 3").click()
    expect(page.locator(".source")).to_contain_text(["start.png", "wide.png", "start.png"])
    assert visitor.faults() == []
    visitor.draw("all of them at the sea")
    (recipe,) = (image["recipe"] for image in newest(server)["images"])
    assert len(recipe["references"]) == 3
    assert recipe["image"] is None


def test_a_finished_picture_becomes_a_reference_and_goes_when_it_is_deleted(
    visitor: Visitor, server: ServerProcess
) -> None:
    page = visitor.page
    choose_model(visitor, server, EDITOR)
    visitor.draw("a fox")
    page.get_by_role("button", name="Use as source").click()
    expect(page.locator(".source strong")).to_have_text(["Reference 1"])
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".source")).to_have_count(0)
