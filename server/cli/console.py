"""How commands speak: results to stdout, everything else to stderr, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

FAILURE = 1
USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count


class CommandError(Exception):
    """A command cannot go on; the message names the value and the remedy."""

    def __init__(self, message: str, *, exit_code: int = FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def results() -> Console:
    """Return the console for what was asked for; plain text when it is no terminal."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def notes() -> Console:
    """Return the console for progress and remarks: stderr, so that stdout can be piped."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Print one error to stderr."""
    from rich.text import Text

    notes().print(Text("Error: ", style="bold red"), Text(message), sep="")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings in columns; never shortened, so that ids can be copied."""
    from rich.text import Text

    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    out = results()
    for style, cells in (("dim", headings), *(("", row) for row in rows)):
        line = "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True))
        out.print(Text(line.rstrip(), style=style))


def is_terminal() -> bool:
    """Return whether a person watches stderr."""
    return sys.stderr.isatty()


def span(seconds: float) -> str:
    """Return a time as a person would say it: 0.4 s, 12 s, 3 minutes, 2 hours."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours"


def pictures(count: int) -> str:
    """Return '1 picture' or '3 pictures'."""
    return "1 picture" if count == 1 else f"{count} pictures"


def say_nothing_twice() -> None:
    """Leave out what services note for a server's log: here it is said to the person."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
