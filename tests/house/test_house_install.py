"""What `make` installs: pinned, from anywhere, for CPU and CUDA alike."""

import re
import subprocess
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
PINS: dict[str, str] = {
    canonicalize_name(name): version for name, _, version in (x.partition("==") for x in LINES)
}


def test_every_constraint_is_one_exact_version_without_host_hash_or_build() -> None:
    for line in LINES:
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*==[0-9][0-9a-z.]*", line), line
    assert sorted(LINES) == LINES
    assert len(PINS) == len(LINES)


def test_constraints_leave_the_vendor_to_torch() -> None:
    assert PINS["torch"] == "2.13.0"
    vendor = [name for name in PINS if re.match(r"nvidia|cuda|triton|pytorch-triton", name)]
    assert vendor == []


def test_every_declared_dependency_is_pinned_inside_its_range() -> None:
    extras = PROJECT["optional-dependencies"].values()
    declared = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    for line in declared:
        requirement = Requirement(line)
        if requirement.name == "greenroom":
            continue
        version = PINS.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt"
        assert requirement.specifier.contains(version), f"{line} against {version}"


def test_make_help_lists_every_target_that_people_use() -> None:
    said = make("help")
    for target in ("setup", "serve", "test", "check", "bench"):
        assert f"make {target} " in said


def test_make_serve_becomes_the_server_so_that_signals_reach_it() -> None:
    assert "exec .venv/bin/greenroom serve" in make("--dry-run", "serve")


def test_make_passes_words_on() -> None:
    assert "pytest -k recipe" in make("--dry-run", "test", "ARGS=-k recipe")


def test_an_old_python_is_refused_with_a_remedy() -> None:
    done = subprocess.run(
        ["make", "setup", "VENV=build/no-venv", "PYTHON="],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "needs Python 3.11 or newer" in done.stderr
    assert not (ROOT / "build/no-venv").exists()


def make(*words: str) -> str:
    return subprocess.run(  # noqa: S603
        ["make", *words],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
