"""The progress bar: what happens, how far it is, how long it still takes."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn

from server.cli.console import is_terminal, notes, span
from server.cli.drawing import Step, Waiting


class Bar:
    """Shows steps on stderr; silent where nobody watches."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(complete_style="green", finished_style="green", pulse_style="green"),
            TextColumn("{task.fields[left]}", style="dim"),
            console=notes(),
            transient=True,
            disable=is_quiet or not is_terminal(),
        )
        self._task = self._progress.add_task("Starting", total=None, left="")
        self._first: tuple[int, float] | None = None

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, news: Waiting | Step) -> None:
        """Show the newest."""
        if isinstance(news, Waiting):
            self._progress.update(self._task, description=news.reason, total=None, left="")
            return
        seconds = self._seconds_left(news)
        self._progress.update(
            self._task,
            description=f"Drawing, step {news.done} of {news.total}",
            completed=news.done,
            total=news.total,
            left="" if seconds is None else f"about {span(seconds)} left",
        )

    def _seconds_left(self, step: Step) -> float | None:
        if step.eta_seconds is not None:
            return step.eta_seconds
        now = time.monotonic()
        if self._first is None:
            self._first = (step.done, now)
        done, since = self._first
        if step.done <= done:
            return None
        return (now - since) / (step.done - done) * (step.total - step.done)
