"""The worker's drawing thread: begins pictures, takes their steps, hands them to the encoders."""

from __future__ import annotations

import functools
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import diffusers
import torch
import transformers

from server.domain.errors import AppError, GenerationFailedError
from server.engine.drawing import (
    Drawing,
    check_finite,
    engine_of,
    recipe_of,
)
from server.engine.encode import encode_picture, encode_preview
from server.engine.inbox import Inbox
from server.engine.loading import dtype_of
from server.engine.messages import (
    Draw,
    DrawFailed,
    DrawPicture,
    DrawPreview,
    DrawProgress,
    DrawStarted,
    Ready,
    Taken,
)
from server.engine.messages import Residents as ResidentsMessage
from server.engine.outbox import Outbox
from server.engine.residents import Residents
from server.engine.sources import pictures

log = logging.getLogger(__name__)

EXIT_DEVICE_ERROR = 4
_ENCODERS = 2
# Below this a step is shorter than the time threads need to meet.
_PARAMETERS_FOR_THREADS = 20_000_000


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
        )
    )
    with torch.inference_mode():
        while True:
            loop.tick()


class Loop:
    """Pictures that wait and pictures under way; `tick` takes one step of the latter.

    One picture is under way at a time now. Everything below `tick` already takes several.
    """

    def __init__(self, inbox: Inbox, outbox: Outbox, device: torch.device) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._engine = engine_of(device)
        self._residents = Residents(
            device,
            lambda models, loading: outbox.put(ResidentsMessage(models=models, loading=loading)),
        )
        self._waiting: deque[tuple[Draw, int]] = deque()
        self._rows: list[Drawing] = []
        self._encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="encoder")
        self._cores = len(os.sched_getaffinity(0))

    def tick(self) -> None:
        """Take in what was asked, begin what may begin, and take one step of what is under way."""
        if not self._rows and not self._waiting:
            self._receive()
        self._inbox.busy()
        self._rows = [row for row in self._rows if self._inbox.is_wanted(row.draw)]
        while not self._rows and self._waiting:
            self._begin(*self._waiting.popleft())
        if self._rows:
            self._step(self._rows)
        for row in [row for row in self._rows if row.trajectory.is_done]:
            self._rows.remove(row)
            self._guarded(row.message, row.index, functools.partial(self._finish, row))

    def _receive(self) -> None:
        """Wait for the next draw; the others stay in the inbox, where a cancel finds them."""
        self._inbox.idle()
        message = self._inbox.take()
        self._waiting.extend((message, index) for index in range(message.request.num_images))

    def _begin(self, message: Draw, index: int) -> None:
        if not self._inbox.is_wanted(message.draw):
            return
        if index == 0:
            self._outbox.put(Taken(draw=message.draw))
        self._guarded(message, index, lambda: self._rows.append(self._prepared(message, index)))

    def _prepared(self, message: Draw, index: int) -> Drawing:
        family = self._residents.get(message.model)
        asked = message.request
        big = family.parameter_count >= _PARAMETERS_FOR_THREADS
        torch.set_num_threads(self._cores if big else 1)
        now = time.monotonic()
        found = pictures(asked, message.sources)
        trajectory = self._residents.with_room(
            asked.model, lambda: family.prepare(asked, family.encode(asked), index, found)
        )
        self._outbox.put(
            DrawStarted(draw=message.draw, index=index, total_steps=trajectory.total_steps)
        )
        return Drawing(message, index, family, trajectory, started_at=now, previewed_at=now)

    def _step(self, rows: list[Drawing]) -> None:
        """Take one step of pictures of one model and bucket, in one forward."""
        first = rows[0]

        def work() -> None:
            trajectories = [row.trajectory for row in rows]
            predictions = self._residents.with_room(
                first.message.model.id, lambda: first.family.predict(trajectories)
            )
            for row, noise_pred in zip(rows, predictions, strict=True):
                row.trajectory.advance(noise_pred)
                self._tell(row)

        if not self._guarded(first.message, first.index, work):
            self._rows = [row for row in self._rows if row is not first]

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
            row.previewed_at, row.previewing = now, True
            self._encoders.submit(self._preview, row)

    def _finish(self, row: Drawing) -> None:
        """Decode here, since the device is ours; encode elsewhere, since it needs no device."""
        check_finite(row.trajectory.latents, row.message)
        pixels = self._residents.with_room(
            row.message.model.id, lambda: row.family.decode(row.trajectory)
        )
        self._encoders.submit(self._encode, row, pixels)

    def _encode(self, row: Drawing, pixels: torch.Tensor) -> None:
        def work() -> None:
            recipe = recipe_of(row.message, row.index, self._engine)
            data = encode_picture(pixels.numpy(), recipe)
            self._say_last(
                DrawPicture(
                    draw=row.draw,
                    index=row.index,
                    data=data,
                    format=recipe.format,
                    width=pixels.shape[1],
                    height=pixels.shape[0],
                    recipe=recipe,
                    duration_seconds=time.monotonic() - row.started_at,
                )
            )

        self._guarded(row.message, row.index, work)

    def _preview(self, row: Drawing) -> None:
        try:
            with torch.inference_mode():
                pixels = row.family.preview(row.trajectory).numpy()
            data = encode_preview(pixels)
            self._outbox.put(DrawPreview(draw=row.draw, index=row.index, data=data))
        except Exception:
            log.exception("no preview of draw %d", row.draw)
        finally:
            row.previewing = False

    def _guarded(self, message: Draw, index: int, work: Callable[[], None]) -> bool:
        """Do `work`; whatever goes wrong ends this picture alone. Returns whether it went well."""
        try:
            work()
        except AppError as error:
            self._fail(message, index, error)
        except torch.AcceleratorError:
            # After a fault of the device every later call fails too: only a new process helps.
            log.exception("draw %d ended with the device in error", message.draw)
            os._exit(EXIT_DEVICE_ERROR)
        except Exception as error:
            log.exception("draw %d failed", message.draw)
            self._fail(
                message,
                index,
                GenerationFailedError(
                    f"the engine met {type(error).__name__}; the server's log has the details"
                ),
            )
        else:
            return True
        return False

    def _fail(self, message: Draw, index: int, error: AppError) -> None:
        self._say_last(
            DrawFailed(
                draw=message.draw,
                index=index,
                code=error.code,
                detail=error.detail,
                parameter=error.parameter,
            )
        )

    def _say_last(self, message: DrawPicture | DrawFailed) -> None:
        self._outbox.put(message)
        self._inbox.picture_done(message.draw)


def _no_bars() -> None:
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
