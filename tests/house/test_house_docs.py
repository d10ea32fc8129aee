"""The documents are true: links lead somewhere, tables agree with the code."""

import re
from pathlib import Path

from bench import table
from tests.house.repository import ROOT, files, name
from tests.house.settings_page import PAGE, page

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_NOT_ROOMS = {"server/__pycache__"}


def documents() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def anchors(document: Path) -> set[str]:
    headings = _HEADING.findall(document.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_relative_link_leads_to_a_file_and_a_heading() -> None:
    dead = []
    for document in documents():
        for target in _LINK.findall(document.read_text()):
            if "://" in target or target.startswith("mailto:"):
                continue
            where, _, heading = target.partition("#")
            file = (document.parent / where).resolve() if where else document
            if not file.exists() or (heading and heading not in anchors(file)):
                dead.append(f"{name(document)}: {target}")
    assert not dead


def test_the_settings_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.house.settings_page"


def test_the_benchmarks_page_is_made_of_the_kept_results() -> None:
    assert table.PAGE.read_text() == table.page(table.read_all()), "run: make bench"


def test_structure_names_every_room_and_no_other() -> None:
    listed = set(re.findall(r"^\| `([\w/]+)` \|", (ROOT / "docs/structure.md").read_text(), re.M))
    packages = {name(path.parent) for path in files() if path.name == "__init__.py"}
    others = {"tests", "docs"}
    packages.discard("server/store/migrations/versions")  # files that Alembic numbers, no room
    rooms = {package for package in packages if not package.startswith("tests")}
    assert listed == rooms | others


def test_every_decision_has_its_four_parts_and_its_own_number() -> None:
    decisions = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [int(decision.name[:4]) for decision in decisions]
    assert numbers == list(range(1, len(decisions) + 1))
    for number, decision in zip(numbers, decisions, strict=True):
        text = decision.read_text()
        assert text.startswith(f"# {number}. "), decision.name
        for part in ("Context", "Decision", "Consequences", "Alternatives", "Enforced by"):
            assert f"**{part}" in text, (decision.name, part)


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make serve" in readme
    assert "make test" in readme
