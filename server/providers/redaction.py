"""Taking a key out of what a service says: some repeat it in their errors."""

from __future__ import annotations

import html
import json
from urllib.parse import quote

_MARK = "[key]"
_FEWEST_CHARACTERS = (
    8  # of a key that is taken out of what is read by a parser; no secret is shorter
)
_AS_UNICODE = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&'"})  # as some write JSON


class Redaction:
    """Every way in which a key is usually written, replaced by a word.

    Args:
        key: None: there is nothing to take out.
    """

    def __init__(self, key: str | None) -> None:
        as_json = "" if key is None else json.dumps(key)[1:-1]
        looks = {
            key or "",
            as_json,
            as_json.translate(_AS_UNICODE),
            as_json.replace("/", "\\/"),
            json.dumps(as_json)[1:-1],
            html.escape(key or ""),
            quote(key or "", safe=""),
        }
        self._is_long = len(key or "") >= _FEWEST_CHARACTERS
        # The longest first: a short one may be a part of it.
        self._looks = sorted(filter(None, looks), key=len, reverse=True)

    def text(self, said: str) -> str:
        """Return words for people without the key."""
        for look in self._looks:
            said = said.replace(look, _MARK)
        return said

    def data(self, said: str) -> str:
        """Return what is parsed next without the key; a key such as "x" is left in it."""
        return self.text(said) if self._is_long else said

    def body(self, said: bytes) -> bytes:
        """Return the bytes of an answer without the key, as `data` does."""
        for look in self._looks if self._is_long else ():
            said = said.replace(look.encode(), _MARK.encode())
        return said
