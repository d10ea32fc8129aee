"""Runs `greenroom` as a person does: a process, its two outputs, its exit code."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(**settings: str | Path) -> dict[str, str]:
    """The variables of this process without any setting but `settings`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GREENROOM_")}
    said = {f"GREENROOM_{name.upper()}": str(value) for name, value in settings.items()}
    return {**clean, "COLUMNS": "100", "GREENROOM_DEVICES": "cpu", **said}


def greenroom(*words: str, cwd: Path = ROOT, **settings: str | Path) -> Done:
    """Run the command with `settings` and return how it ended."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error::DeprecationWarning:server", "-m", "server", *words],
        cwd=cwd,
        env={**environment(**settings), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
