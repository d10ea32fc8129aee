"""Small and read-only disks for one command alone: nothing stays mounted behind it."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

WHAT = "a mount namespace of one's own (unshare -rm)"


@cache
def can_mount() -> bool:
    """Whether this user may make a mount namespace here."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    probe = subprocess.run(  # noqa: S603
        [unshare, "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False, capture_output=True
    )
    return probe.returncode == 0


def small(folder: Path, kib: int) -> list[str]:
    """A command prefix under which `folder` is a new disk of that size."""
    return _inside(f'mount -t tmpfs -o size={kib}k tmpfs "{folder}"')


def read_only(folder: Path) -> list[str]:
    """A command prefix under which `folder` cannot be written, even by root."""
    return _inside(f'mount --bind "{folder}" "{folder}" && mount -o remount,bind,ro "{folder}"')


def _inside(mount: str) -> list[str]:
    return ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh"]
