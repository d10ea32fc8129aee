"""What a test needs from the machine: missing, it is a loud skip, or a failure in CI."""

from __future__ import annotations

import os

import pytest


def require(name: str, present: bool) -> None:  # noqa: FBT001
    """Go on when `name` is present.

    Absent, the test is skipped with one line in the summary, or fails where GREENROOM_REQUIRE_ALL=1
    says that everything was installed.
    """
    if present:
        return
    if os.environ.get("GREENROOM_REQUIRE_ALL") == "1":
        pytest.fail(f"{name} is missing, and GREENROOM_REQUIRE_ALL=1", pytrace=False)
    pytest.skip(f"{name} is missing on this machine")
