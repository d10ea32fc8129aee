"""What went wrong at a service, as one of our errors, in the service's own words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from server.domain.errors import (
    ProviderAnswerError,
    ProviderError,
    ProviderKeyError,
    ProviderModelGoneError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRequestError,
    ProviderUnreachableError,
)

_MOST_CHARACTERS = 300  # of a service's words
# Every part ends where the next could begin, so that no text takes longer than its length.
_MARKUP = re.compile(
    r"<(?:script|style)\b.*?(?:</(?:script|style)>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE
)
_LONGEST_WAIT = 86_400.0
_LOST_ON_THE_WAY = (408, 502, 504)  # somebody in between gave up; the work may be done all the same
_REQUEST = (400, 405, 406, 409, 411, 413, 414, 415, 422, 431)
_REMEDY: dict[type[ProviderError], str] = {
    ProviderKeyError: "check the connection's key and what it may do",
    ProviderQuotaError: "top the account up",
    ProviderModelGoneError: "this model is not offered there; choose one of the service's list",
}


def error_of(
    kind: type[ProviderError], service: str, said: str, *, retry_after: float | None = None
) -> ProviderError:
    """Return an error of `kind` with the service's words, cleaned, and what helps."""
    words = cleaned(said) or "nothing more"
    detail = f"{service} says: {words}"
    if kind in _REMEDY:
        detail = f"{detail}; {_REMEDY[kind]}"
    return kind(detail, retry_after_seconds=retry_after)


def kind_of(status: int) -> type[ProviderError]:
    """Return what an HTTP status means where the service's own codes say nothing else."""
    if status in (401, 403):
        return ProviderKeyError
    if status == 402:
        return ProviderQuotaError
    if status in (404, 410):
        return ProviderModelGoneError
    if status == 429:
        return ProviderRateLimitedError
    if status in _REQUEST:
        return ProviderRequestError
    return ProviderUnreachableError if status >= 500 or status == 408 else ProviderAnswerError


def may_have_drawn(status: int) -> bool:
    """Return whether the answer with `status` may hide work that was done, and charged."""
    return status in _LOST_ON_THE_WAY or status < 300


def cleaned(said: str) -> str:
    """Return a service's words as one short line without markup and control characters."""
    plain = _MARKUP.sub(" ", said)
    line = " ".join("".join(c if c.isprintable() else " " for c in plain).split())
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}..."


def words_of(body: bytes) -> str:
    """Return what an error's body says, whatever its shape: a known JSON field, or the text."""
    text = body.decode(errors="replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _words(found) or text


def _words(found: object) -> str | None:
    if isinstance(found, str):
        return found
    if isinstance(found, list):
        return next(filter(None, map(_words, found[:5])), None)
    if not isinstance(found, dict):
        return None
    for name in ("error", "message", "detail", "msg", "title"):
        words = _words(found.get(name))
        if words:
            return words
    return None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that `Retry-After` asks to wait, as a number or as a date.

    OpenAI's `retry-after-ms` is finer and wins. None where nothing sensible is said.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, _LONGEST_WAIT)
    said = headers.get("retry-after", "").strip()
    seconds = _number(said)
    if seconds is None:
        try:
            date = parsedate_to_datetime(said)
        except ValueError:
            return None
        aware = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = max(0.0, (aware - now).total_seconds())
    return min(seconds, _LONGEST_WAIT)


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\d{1,12}(\.\d{1,6})?", text.strip()):
        return None
    return float(text.strip())
