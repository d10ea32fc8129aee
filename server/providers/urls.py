"""Addresses of services as people type them."""

from __future__ import annotations

import re

_VERSION = re.compile(r"/v\d+[a-z0-9]*$")


def with_version(base_url: str, version: str) -> str:
    """Return `base_url` with the API's version at its end, unless one stands there already."""
    plain = base_url.rstrip("/")
    return plain if _VERSION.search(plain) else plain + version
