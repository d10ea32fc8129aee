"""Words that have no place in the repository."""

import re

from tests.house.repository import name, text_files

# Split, so that this file does not hold what it looks for.
_FORBIDDEN = {
    "a package registry's host": r"py" r"pi\.org|npm" r"js\.(?:com|org)|python" r"hosted\.org",
    "a path of one machine": r"(?<![\w.-])/(?:wo" r"rk|ro" r"ot)/",
    "something left open": r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b",
}
# Names of places that users themselves know.
_ALLOWED = {"LICENSE"}


def test_no_file_names_a_machine_a_registry_or_unfinished_work() -> None:
    found = []
    for path in text_files():
        if name(path) in _ALLOWED:
            continue
        text = path.read_text(errors="replace")
        for what, pattern in _FORBIDDEN.items():
            found += [f"{name(path)}: {what}: {m.group()}" for m in re.finditer(pattern, text)]
    assert not found


def test_no_file_of_code_is_longer_than_500_lines() -> None:
    long = {
        name(path): count
        for path in text_files()
        if path.suffix == ".py"
        and "migrations" not in path.parts
        and (count := len(path.read_text().splitlines())) > 500
    }
    assert not long
