"""What happens to a picture beside the ticks: previews, decoding, encoding."""

from __future__ import annotations

import copy
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import torch

from server.domain.plans import Plan
from server.domain.recipes import Engine
from server.engine.adapters.mix import Mix
from server.engine.drawing import Drawing, check_finite, recipe_of
from server.engine.encode import encode_picture, encode_preview
from server.engine.families.base import Pictures, Trajectory
from server.engine.hardware import use_threads_for
from server.engine.inbox import Inbox
from server.engine.last_words import LastWords
from server.engine.loading import is_out_of_memory
from server.engine.messages import Draw, DrawPicture, DrawPreview
from server.engine.outbox import Outbox
from server.engine.sources import pictures

log = logging.getLogger(__name__)

_ENCODERS = 2


class Finishing:
    """Threads beside the drawing one: a decoder, a previewer, encoders.

    On a GPU the first two have a stream each. They are apart, since each waits for the device, and
    a finished file should not wait for a preview.

    Args:
        device: where latents are.
        engine: what recipes say drew them.
        inbox: asked whether a picture is still wanted, and nudged when the drawing thread is.
        outbox: where previews go.
        last_words: where pictures and failures go.
    """

    def __init__(
        self,
        device: torch.device,
        engine: Engine,
        inbox: Inbox,
        outbox: Outbox,
        last_words: LastWords,
    ) -> None:
        self._engine = engine
        self._inbox = inbox
        self._outbox = outbox
        self._last_words = last_words
        self._stream = _side_stream(device)
        self._preview_stream = _side_stream(device)
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decoder")
        self._previewer = ThreadPoolExecutor(1, thread_name_prefix="previewer")
        self._encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="encoder")
        self._lacked_room: deque[Drawing] = deque()
        self._uses: set[Future[Any]] = set()  # work that holds a model

    def read_sources(self, message: Draw) -> Future[Pictures]:
        """Decode the pictures that a request gives, and nudge the drawing thread after that."""
        found: Future[Pictures] = self._encoders.submit(pictures, message.request, message.sources)
        found.add_done_callback(lambda _: self._inbox.nudge())
        return found

    def read_adapters(self, read: Callable[[], Mix]) -> Future[Mix]:
        """Read the adapters of a model, and nudge the drawing thread after that."""
        found = self._encoders.submit(read)
        self._use(found)
        found.add_done_callback(lambda _: self._inbox.nudge())
        return found

    def preview(self, row: Drawing) -> None:
        """Send a preview soon."""
        row.previewing = True
        # As it is now: what the next tick writes is behind the mark, and may be half written.
        now = copy.copy(row.trajectory)
        self._use(self._previewer.submit(self._preview, row, now, self._launched()))

    def finish(self, row: Drawing) -> None:
        """Turn finished latents into a file, while the next ticks run."""
        self._use(self._decoder.submit(self._decode, row, self._launched()))

    def settle(self) -> bool:
        """Wait until nothing here uses a model; the drawing thread alone may call this.

        Returns whether anything did.
        """
        uses = list(self._uses)
        wait(uses)
        return bool(uses)

    def without_room(self) -> Drawing | None:
        """Return a picture that could not be decoded beside the ticks for want of memory."""
        return self._lacked_room.popleft() if self._lacked_room else None

    def decode_here(self, row: Drawing, with_room: Callable[[Callable[[], None]], None]) -> None:
        """Decode on the calling thread, which can make room."""

        def work() -> None:
            with_room(lambda: self._decode_and_encode(row))

        if self._inbox.is_wanted(row.draw):
            self._last_words.guarded(row.message, row.index, work)

    def _launched(self) -> torch.cuda.Event | None:
        """Return a mark behind all that the calling thread gave to the device."""
        return torch.cuda.current_stream().record_event() if self._stream else None

    def _use(self, work: Future[Any]) -> None:
        self._uses.add(work)
        work.add_done_callback(self._uses.discard)

    def _preview(
        self, row: Drawing, trajectory: Trajectory, launched: torch.cuda.Event | None
    ) -> None:
        try:
            with torch.inference_mode(), _beside(self._preview_stream, launched):
                pixels = row.family.preview(trajectory).numpy()
            data = encode_preview(pixels)
            self._outbox.put(DrawPreview(draw=row.draw, index=row.index, data=data))
        except Exception:
            log.exception("no preview of draw %d", row.draw)
        finally:
            row.previewing = False

    def _decode(self, row: Drawing, launched: torch.cuda.Event | None) -> None:
        def work() -> None:
            use_threads_for(row.family.parameter_count)
            with _beside(self._stream, launched):
                if self._stream is not None:
                    row.trajectory.latents.record_stream(self._stream)
                self._decode_and_encode(row)

        def work_or_give_back() -> None:
            try:
                work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._lacked_room.append(row)
                self._inbox.nudge()

        if self._inbox.is_wanted(row.draw):
            self._last_words.guarded(row.message, row.index, work_or_give_back)

    def _decode_and_encode(self, row: Drawing) -> None:
        with torch.inference_mode():
            check_finite(row.trajectory.latents, row.message)
            pixels = row.family.decode(row.trajectory)
        # Without the row, which would keep its model in memory.
        self._encoders.submit(
            self._encode,
            row.message,
            row.index,
            pixels,
            row.trajectory.plan,
            row.started_at,
            row.device_seconds,
        )

    def _encode(
        self,
        message: Draw,
        index: int,
        pixels: torch.Tensor,
        plan: Plan,
        started_at: float,
        device_seconds: float,
    ) -> None:
        def work() -> None:
            recipe = recipe_of(message, index, self._engine, plan)
            data = encode_picture(pixels.numpy(), recipe)
            self._last_words.say(
                DrawPicture(
                    draw=message.draw,
                    index=index,
                    data=data,
                    format=recipe.format,
                    width=pixels.shape[1],
                    height=pixels.shape[0],
                    recipe=recipe,
                    duration_seconds=time.monotonic() - started_at,
                    device_seconds=device_seconds,
                )
            )

        self._last_words.guarded(message, index, work)


def _side_stream(device: torch.device) -> torch.cuda.Stream | None:
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _beside(stream: torch.cuda.Stream | None, launched: torch.cuda.Event | None) -> Iterator[None]:
    """Give work to `stream`, behind what was launched; without one, do it as usual."""
    if stream is None or launched is None:
        yield
        return
    launched.wait(stream)
    with torch.cuda.stream(stream):
        yield
