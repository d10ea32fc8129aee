"""One step of several pictures: one forward, or smaller ones where that fails."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

import torch

from server.domain.errors import GpuMemoryError
from server.engine.drawing import Drawing
from server.engine.last_words import LastWords, end_at_device_fault
from server.engine.loading import is_out_of_memory
from server.engine.residents import Residents

log = logging.getLogger(__name__)


class Forward:
    """Takes steps; what fails, fails alone.

    Without memory for all rows they are tried again once nothing else uses any, and then halved
    until they fit: a prediction changes nothing, so it can be repeated. After any other error every
    picture is tried by itself.

    Args:
        residents: make room for a picture that does not fit alone.
        last_words: where failures go.
        let_go: waits for what other threads do with memory; returns whether there was anything.
        begin_anew: takes a picture back that does not fit alone, if it may be drawn otherwise.
    """

    def __init__(
        self,
        residents: Residents,
        last_words: LastWords,
        let_go: Callable[[], bool],
        begin_anew: Callable[[Drawing], bool],
    ) -> None:
        self._residents = residents
        self._begin_anew = begin_anew
        self._let_go = let_go
        self._last_words = last_words
        self.was_whole = True  # the last step was one forward

    def step(self, rows: list[Drawing]) -> list[Drawing]:
        """Take one step of each; return those that took it. The others have had their last word."""
        self.was_whole = True
        stepped = []
        rows = [row for row in rows if self._is_here(row)]
        for row, noise_pred in self._predictions(rows):
            advance = functools.partial(row.trajectory.advance, noise_pred)
            if self._last_words.guarded(row.message, row.index, advance):
                stepped.append(row)
        return stepped

    def _is_here(self, row: Drawing) -> bool:
        """Bring back a model that had to leave for another; without room for it the row ends."""
        return row.kept.is_here or self._last_words.guarded(
            row.message, row.index, lambda: self._residents.have_here(row.kept)
        )

    def _predictions(
        self, rows: list[Drawing], *, is_second_try: bool = False
    ) -> list[tuple[Drawing, torch.Tensor]]:
        if len(rows) == 1:
            return self._alone(rows[0])
        parts: list[list[Drawing]] = []
        try:
            predictions = rows[0].family.predict([row.trajectory for row in rows])
            return list(zip(rows, predictions, strict=True))
        except Exception as error:
            if not is_out_of_memory(error):
                log.exception("a forward of %d pictures failed; trying each alone", len(rows))
                end_at_device_fault(error)
                parts = [[row] for row in rows]
        # Outside the block above: the traceback holds on to the tensors of the attempt.
        self.was_whole = False
        if not parts and not is_second_try and self._let_go():
            return self._predictions(rows, is_second_try=True)
        parts = parts or self._halves(rows)
        return [done for part in parts for done in self._predictions(part)]

    def _halves(self, rows: list[Drawing]) -> list[list[Drawing]]:
        total = sum(row.rows for row in rows)
        log.warning("no memory for %d rows; taking half of them", total)
        rows[0].curve.ran_out(total)
        middle = len(rows) // 2
        return [rows[:middle], rows[middle:]]

    def _alone(self, row: Drawing) -> list[tuple[Drawing, torch.Tensor]]:
        found: list[tuple[Drawing, torch.Tensor]] = []

        def work() -> None:
            try:
                predictions = self._residents.with_room(
                    row.kept, lambda: row.family.predict([row.trajectory]), row.message.request
                )
            except GpuMemoryError:
                if not self._begin_anew(row):
                    raise
            else:
                found.append((row, predictions[0]))

        self._last_words.guarded(row.message, row.index, work)
        return found
