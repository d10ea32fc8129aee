"""What tests of the house ask of the repository."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BINARY = {".png", ".jpg", ".webp", ".safetensors", ".woff2", ".ico"}


@cache
def files() -> tuple[Path, ...]:
    """All files that belong to the repository, committed or about to be."""
    listed = subprocess.run(
        # The checkout may belong to somebody else than the one who tests it.
        ["git", "-c", "safe.directory=*", "ls-files", "-zco", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = (ROOT / name for name in listed.split("\0") if name)
    return tuple(path for path in found if path.is_file())


def text_files() -> tuple[Path, ...]:
    """Those that hold text."""
    return tuple(path for path in files() if path.suffix.lower() not in _BINARY)


def name(path: Path) -> str:
    """The path as people write it."""
    return path.relative_to(ROOT).as_posix()
