"""The worker's drawing thread: each tick is one step of the pictures whose turn it is."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from concurrent.futures import Future

import diffusers
import torch
import transformers

from server.engine import memory
from server.engine.adapters.shelves import Shelves, budget_bytes
from server.engine.admission import admissible
from server.engine.attention.suiting import Attention
from server.engine.curve import Curves
from server.engine.drawing import Drawing, Waiting, engine_of
from server.engine.families.base import Pictures
from server.engine.finishing import Finishing
from server.engine.forward import Forward
from server.engine.hardware import hardware, use_threads_for
from server.engine.inbox import Inbox
from server.engine.last_words import LastWords
from server.engine.loading import dtype_of, load
from server.engine.messages import (
    Draw,
    DrawProgress,
    DrawStarted,
    Measured,
    Ready,
    Sources,
    Taken,
)
from server.engine.messages import Residents as ResidentsMessage
from server.engine.order import in_turn
from server.engine.outbox import Outbox
from server.engine.pace import Pace
from server.engine.residents import Load, Residents


def serve(inbox: Inbox, outbox: Outbox, device_name: str) -> None:
    """Draw what the inbox asks for, for ever."""
    _no_bars()
    device = torch.device(device_name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.cuda.init()  # type: ignore[no-untyped-call]
    loop = Loop(inbox, outbox, device)
    outbox.put(
        Ready(
            device=device_name,
            dtype=str(dtype_of(device)).removeprefix("torch."),
            torch=torch.__version__,
            diffusers=diffusers.__version__,
            hardware=hardware(device),
        )
    )
    with torch.inference_mode():
        while True:
            loop.tick()


class Loop:
    """Pictures that wait and pictures under way.

    A tick takes one step of as many pictures of one bucket as pay, whatever their prompts,
    settings and steps: what is cancelled is gone before it, what is new is in it or the next.
    """

    def __init__(
        self, inbox: Inbox, outbox: Outbox, device: torch.device, load: Load = load
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._residents = Residents(
            device,
            lambda models, loading: outbox.put(ResidentsMessage(models=models, loading=loading)),
            load,
            self._let_go,
        )
        self._shelves = Shelves(budget_bytes(memory.free_bytes(torch.device("cpu"))))
        self._curves = Curves(
            hardware(device),
            lambda: inbox.known,
            lambda point: outbox.put(Measured(point=point)),
        )
        self._attention = Attention(
            device,
            hardware(device),
            lambda: inbox.known,
            lambda point: outbox.put(Measured(point=point)),
        )
        self._pace = Pace(device)
        self._last_words = LastWords(inbox, outbox)
        self._forward = Forward(self._residents, self._last_words, self._let_go)
        self._finishing = Finishing(device, engine_of(device), inbox, outbox, self._last_words)
        self._waiting: list[Waiting] = []
        self._rows: list[Drawing] = []

    @property
    def rows(self) -> Sequence[Drawing]:
        """The pictures under way."""
        return self._rows

    @property
    def has_work(self) -> bool:
        """Whether a tick would do something without waiting for news."""
        return bool(self._rows) or any(one.is_ready for one in self._waiting)

    def tick(self) -> None:
        """Take in what was asked, begin what may begin, and take one step of what is next."""
        self._receive()
        self._inbox.busy()
        self._finish_what_lacked_room()
        self._waiting = [one for one in self._waiting if self._inbox.is_wanted(one.message.draw)]
        self._rows = [row for row in self._rows if self._inbox.is_wanted(row.draw)]
        self._begin_what_may()
        if self._rows:
            self._step()
        for row in [row for row in self._rows if row.trajectory.is_done]:
            self._rows.remove(row)
            self._finishing.finish(row)

    def _receive(self) -> None:
        if not self.has_work:
            self._pace.settle()
            self._inbox.idle()
            self._inbox.wait()
        for message in self._inbox.take():
            pictures = self._pictures(message)
            now = time.monotonic()
            self._waiting += (
                Waiting(message, index, now, pictures)
                for index in range(message.request.num_images)
            )

    def _pictures(self, message: Draw) -> Future[Pictures]:
        if message.sources != Sources():
            return self._finishing.read_sources(message)
        none: Future[Pictures] = Future()
        none.set_result(Pictures())
        return none

    def _begin_what_may(self) -> None:
        self._read_adapters()
        chosen = admissible(
            [one for one in self._waiting if one.is_ready],
            holds=self._residents.holds,
            is_busy=bool(self._rows),
            now=time.monotonic(),
        )
        for one in chosen:
            self._waiting.remove(one)
            if one.index == 0:
                self._outbox.put(Taken(draw=one.message.draw))
            begin = functools.partial(self._begin, one)
            self._last_words.guarded(one.message, one.index, begin)

    def _read_adapters(self) -> None:
        """Let the adapters of who waits be read elsewhere, if somebody else would wait for it."""
        for one in self._waiting:
            message = one.message
            if message.adapters and one.mix is None and self._rows:
                if not self._residents.holds(message.model):
                    continue  # its loading will be longer
                family = self._residents.get(message.model)
                read = functools.partial(self._shelves.mix, family, message.adapters)
                one.mix = self._finishing.read_adapters(read)

    def _begin(self, one: Waiting) -> None:
        asked, model = one.message.request, one.message.model
        pictures = one.pictures.result()  # first: what cannot be read needs no model
        family = self._residents.get(model)
        use_threads_for(family.parameter_count)
        mix = one.mix.result() if one.mix else self._shelves.mix(family, one.message.adapters)
        trajectory = self._residents.with_room(
            model.id,
            lambda: family.prepare(asked, family.encode(asked, mix), one.index, pictures, mix),
        )
        now = time.monotonic()
        row = Drawing(
            message=one.message,
            index=one.index,
            family=family,
            trajectory=trajectory,
            curve=self._curves.of(model, str(trajectory.bucket)),
            arrived_at=one.arrived_at,
            started_at=now,
            previewed_at=now,
        )
        self._rows.append(row)
        self._outbox.put(
            DrawStarted(draw=row.draw, index=row.index, total_steps=trajectory.total_steps)
        )

    def _step(self) -> None:
        """Take one step of the pictures whose turn it is, in one forward."""
        turns = [self._rows[index] for index in in_turn([row.place for row in self._rows])]
        taken = turns[: turns[0].curve.pictures([row.rows for row in turns])]
        use_threads_for(taken[0].family.parameter_count)
        with self._attention.suited(taken[0].family.attention, taken[0].trajectory.latents):
            self._pace.begin()
            stepped = self._forward.step(taken)
            # Decided now: the seconds may come when the next forward has been launched.
            is_whole = (
                stepped == taken
                and self._forward.was_whole
                and not any(row.trajectory.skipped_blocks for row in taken)
            )
            self._pace.end(lambda seconds: self._share(taken, seconds, is_whole=is_whole))
        for row in stepped:
            self._tell(row)
        failed = [row for row in taken if row not in stepped]
        self._rows = [row for row in self._rows if row not in failed]

    def _share(self, taken: list[Drawing], seconds: float, *, is_whole: bool) -> None:
        """Book a tick's seconds to its pictures, and learn from it if it was one whole forward."""
        rows = sum(row.rows for row in taken)
        for row in taken:
            row.device_seconds += seconds * row.rows / rows
        if is_whole:
            first = taken[0]
            self._curves.learn(first.message.model, str(first.trajectory.bucket), rows, seconds)

    def _tell(self, row: Drawing) -> None:
        self._outbox.put(
            DrawProgress(
                draw=row.draw,
                index=row.index,
                step=row.trajectory.steps_done,
                total_steps=row.trajectory.total_steps,
            )
        )
        now = time.monotonic()
        due = now - row.previewed_at >= row.message.preview_interval_seconds
        if due and not row.previewing and not row.trajectory.is_done:
            row.previewed_at = now
            self._finishing.preview(row)

    def _let_go(self) -> bool:
        """Wait until no picture that left the ticks holds on to a model or to memory.

        Returns whether there was one.
        """
        self._pace.settle()
        return self._finishing.settle()

    def _finish_what_lacked_room(self) -> None:
        while (row := self._finishing.without_room()) is not None:
            with_room = functools.partial(self._residents.with_room, row.message.model.id)
            self._finishing.decode_here(row, with_room)


def _no_bars() -> None:
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
