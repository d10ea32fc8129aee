"""`greenroom generate` from pictures: masks, widening, references, and their recipes."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from server.services.pictures import make_safe
from tests.cli.running import Done, greenroom
from tests.editors import EDITOR, FILLER, add_editors
from tests.serving import TOKEN, ServerProcess, draw_noise_by_default

QUICK = ("--steps", "2", "--seed", "7")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, scribble_models: Path) -> Path:
    folder = tmp_path_factory.mktemp("models-of-all-tasks")
    shutil.copytree(scribble_models, folder, dirs_exist_ok=True)
    draw_noise_by_default(folder / "data")
    add_editors(folder, folder / "data")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[ServerProcess]:
    running = ServerProcess(tmp_path_factory.mktemp("served"), models)
    shutil.copy(models / "data" / "models.yaml", running.data_dir)
    with running:
        yield running


@pytest.fixture(params=["served", pytest.param("alone", marks=pytest.mark.slow)])
def settings(request: pytest.FixtureRequest, models: Path) -> dict[str, str | Path]:
    """Settings of a command that finds a running server, and of one that finds none."""
    if request.param == "alone":
        return {"models_dir": models, "data_dir": models / "data"}
    running: ServerProcess = request.getfixturevalue("server")
    return {"models_dir": models, "data_dir": running.data_dir, "admin_token": TOKEN}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a wide picture, a mask of its shape, and one of another."""
    Image.new("RGB", (150, 100), "green").save(tmp_path / "start.png")
    Image.new("RGB", (75, 50), "white").save(tmp_path / "mask.png")
    Image.new("RGB", (50, 50), "white").save(tmp_path / "square.png")
    return tmp_path


def told(done: Done) -> dict[str, object]:
    assert done.code == 0, done.err
    (picture,) = json.loads(done.out)["pictures"]
    recipe: dict[str, object] = picture["recipe"]
    return recipe


def mark(file: Path) -> str:
    return hashlib.sha256(make_safe(file.read_bytes(), max_pixels=10**6).png).hexdigest()


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.convert("RGB").tobytes()


def test_a_mask_is_part_of_the_recipe_and_needed_to_repeat_it(
    settings: dict[str, str | Path], folder: Path
) -> None:
    sources = ("--image", "start.png", "--mask", "mask.png")
    options = ("--clip-skip", "1", "--guidance-rescale", "0.5", "--target-size", "64,96")
    asked = ("generate", "a fox", "-o", "fox.png", *sources, *options, *QUICK, "--json")
    recipe = told(greenroom(*asked, cwd=folder, **settings))
    assert (recipe["image"], recipe["mask"]) == (
        mark(folder / "start.png"),
        mark(folder / "mask.png"),
    )
    assert (recipe["strength"], recipe["clip_skip"], recipe["guidance_rescale"]) == (1.0, 1, 0.5)
    assert recipe["target_size"] == [64, 96]
    assert (recipe["width"], recipe["height"]) == (192, 128)  # of the source's shape

    again = ("generate", "--recipe", "fox.png", "-o", "again.png", "--image", "start.png")
    for more, said in (((), "give that file with --mask"), (("--mask", "square.png"), "--mask is")):
        refused = greenroom(*again, *more, cwd=folder, **settings)
        assert refused.code == 2
        assert said in refused.err
    same = greenroom(*again, "--mask", "mask.png", cwd=folder, **settings)
    assert same.code == 0, same.err
    assert pixels(folder / "again.png") == pixels(folder / "fox.png")


def test_a_widened_picture_is_repeated_from_its_recipe(
    settings: dict[str, str | Path], folder: Path
) -> None:
    wide = ("--image", "square.png", "--outpaint", "left=0.25,right=0.25")
    asked = ("generate", "a fox", "-o", "fox.png", *wide, *QUICK, "--json")
    recipe = told(greenroom(*asked, cwd=folder, **settings))
    assert recipe["outpaint"] == {"left": 0.25, "top": 0.0, "right": 0.25, "bottom": 0.0}
    assert (recipe["width"], recipe["height"]) == (192, 128)
    again = ("generate", "--recipe", "fox.png", "--image", "square.png", "-o", "again.png")
    assert told(greenroom(*again, "--json", cwd=folder, **settings))["outpaint"] is not None
    assert pixels(folder / "again.png") == pixels(folder / "fox.png")


def test_references_are_repeated_in_their_order(
    settings: dict[str, str | Path], folder: Path
) -> None:
    both = ("--reference", "start.png", "--reference", "mask.png")
    asked = ("generate", "at night", "-m", EDITOR, "-o", "fox.png", *both, *QUICK, "--json")
    recipe = told(greenroom(*asked, cwd=folder, **settings))
    assert recipe["references"] == [mark(folder / "start.png"), mark(folder / "mask.png")]
    assert (recipe["width"], recipe["height"]) == (96, 64)
    again = ("generate", "--recipe", "fox.png", "-o", "again.png")
    one = greenroom(*again, "--reference", "start.png", cwd=folder, **settings)
    assert (one.code, "this recipe has 2 references" in one.err) == (2, True)
    turned = greenroom(*again, *both[2:], *both[:2], cwd=folder, **settings)
    assert (turned.code, "--reference is not the picture" in turned.err) == (2, True)
    same = greenroom(*again, *both, cwd=folder, **settings)
    assert same.code == 0, same.err
    assert pixels(folder / "again.png") == pixels(folder / "fox.png")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mask", "mask.png"), "mask needs an image"),
        (("--image", "start.png", "--mask", "square.png"), "another shape"),
        (("--image", "gone.png"), "cannot read gone.png"),
        (("--reference", "start.png"), "does not take references"),
        (("--image", "start.png", "--outpaint", "left=0"), "--outpaint: Value error, outpaint"),
        (("--clip-skip", "0"), "--clip-skip: "),
        (("--crop", "0,-1"), "--crop: "),
        (("-m", FILLER, "--image", "start.png"), "give image and mask, or image and outpaint"),
    ],
)
def test_what_does_not_go_together_is_one_line_and_code_2(
    settings: dict[str, str | Path], folder: Path, options: tuple[str, ...], said: str
) -> None:
    done = greenroom("generate", "a fox", *options, cwd=folder, **settings)
    assert done.code == 2, done.err
    assert len(done.err.splitlines()) == 1
    assert said in done.err
