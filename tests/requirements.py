"""What a test needs from the machine: missing, it is skipped aloud; in CI it fails."""

from __future__ import annotations

import os

import pytest


def require(what: str, *, present: bool) -> None:
    """Skip the test unless `what` is here; fail it where GREENROOM_REQUIRE_ALL=1."""
    if present:
        return
    said = f"MISSING on this machine: {what}"
    if os.environ.get("GREENROOM_REQUIRE_ALL") == "1":
        pytest.fail(f"{said}, and GREENROOM_REQUIRE_ALL=1", pytrace=False)
    pytest.skip(said)
