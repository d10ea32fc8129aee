"""Starts `tests.store.victim` as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def victim(deed: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The process, once it has said its first word; killed at the end with SIGKILL."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "tests.store.victim", deed, *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), f"{deed} ended without a word"
            yield process
        finally:
            process.kill()


def answer(deed: str, *arguments: str, prefix: Sequence[str] = ()) -> Any:
    """What the process says, as JSON, once it has ended."""
    done = subprocess.run(  # noqa: S603
        [*prefix, sys.executable, "-W", "error", "-m", "tests.store.victim", deed, *arguments],
        cwd=REPOSITORY,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)
