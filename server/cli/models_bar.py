"""The bar of a running fetch: bytes, speed and time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from server.cli.console import is_terminal, notes


@contextmanager
def pull_bar(model_id: str, *, is_quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar on stderr, silent where nobody watches; yield what moves it."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(complete_style="green", finished_style="green"),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=notes(),
        transient=True,
        disable=is_quiet or not is_terminal(),
    )
    task = progress.add_task(f"Fetching {model_id}", total=None)
    with progress:
        yield lambda done, total: progress.update(task, completed=done, total=total)
