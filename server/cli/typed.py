"""Values of several parts as they are typed; what they mean together is checked later."""

from __future__ import annotations

from contextlib import suppress

from server.cli.console import USAGE, CommandError

_SIDES = ("left", "top", "right", "bottom")


def sides(option: str, text: str | None) -> dict[str, float] | None:
    """Return "left=0.5,right=0.5" as {"left": 0.5, "right": 0.5}.

    Raises:
        CommandError: it is written otherwise.
    """
    if text is None:
        return None
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            name = ""
        if name not in _SIDES:
            raise CommandError(
                f"{option}: '{part.strip()}' is no side; write left=0.5,right=0.5, with "
                f"{', '.join(_SIDES)}",
                exit_code=USAGE,
            )
    return found


def adapter(option: str, text: str) -> dict[str, str | float]:
    """Return "ink:0.8" as {"id": "ink", "weight": 0.8}, and "ink" without a weight.

    Raises:
        CommandError: the weight is no number.
    """
    name, colon, weight = text.partition(":")
    if not colon:
        return {"id": name}
    try:
        return {"id": name, "weight": float(weight)}
    except ValueError as error:
        raise CommandError(
            f"{option}: '{weight}' is no weight; write {name}:0.8", exit_code=USAGE
        ) from error


def named_values(option: str, texts: list[str]) -> dict[str, int | float | str]:
    """Return ["quality=high", "steps=4"] as {"quality": "high", "steps": 4}.

    Raises:
        CommandError: one has no name or no value.
    """
    found: dict[str, int | float | str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value:
            raise CommandError(
                f"{option}: '{text}' is no name with a value; write quality=high", exit_code=USAGE
            )
        found[name] = _number(value)
    return found


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def pair(option: str, text: str | None) -> tuple[int, int] | None:
    """Return "1024,768" as (1024, 768).

    Raises:
        CommandError: it is written otherwise.
    """
    if text is None:
        return None
    first, _, second = text.partition(",")
    try:
        return int(first), int(second)
    except ValueError as error:
        raise CommandError(
            f"{option}: '{text}' is no pair of whole numbers; write 1024,768", exit_code=USAGE
        ) from error
