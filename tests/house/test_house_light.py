"""What must stay light: imports, the help, the working tree."""

import subprocess
import sys
import time

import pytest

from tests.house.repository import ROOT, files, name

HEAVY = ("torch", "diffusers", "transformers", "accelerate", "peft")
_LIMIT_MB = 45


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code", ["import server", "import server.app", "import server.cli.listener"]
)
def test_the_http_process_never_imports_torch(code: str) -> None:
    assert loaded_after(code).isdisjoint(HEAVY)


def test_the_command_line_imports_nothing_slow_before_a_command_runs() -> None:
    slow = {*HEAVY, "pydantic", "fastapi", "sqlalchemy", "httpx2", "PIL", "numpy"}
    assert loaded_after("from server.cli.main import build; build()").isdisjoint(slow)


def test_help_comes_at_once() -> None:
    command = [sys.executable, "-m", "server", "--help"]
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # noqa: S603
        times.append(time.perf_counter() - started)
    assert min(times) < 1.0  # 0.2 s when nothing else runs here


def test_the_working_tree_stays_small() -> None:
    sizes = {name(path): path.stat().st_size for path in files()}
    total = sum(sizes.values()) / 1e6
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    assert total < _LIMIT_MB, largest
