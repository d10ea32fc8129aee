"""The worker's drawing thread: each tick is one step of the pictures whose turn it is."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import diffusers
import torch
import transformers

from server.domain.errors import GpuMemoryError
from server.domain.planning import Offer
from server.domain.plans import Profile
from server.engine import memory
from server.engine.adapters.shelves import Shelves, budget_bytes
from server.engine.admission import admissible
from server.engine.attention.suiting import Attention
from server.engine.chores import Chores
from server.engine.curve import Curves
from server.engine.drawing import Drawing, Waiting, engine_of
from server.engine.families.base import Pictures, Trajectory
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
    Limits,
    Measured,
    Ready,
    Sources,
    Taken,
)
from server.engine.messages import Residents as ResidentsMessage
from server.engine.order import in_turn
from server.engine.outbox import Outbox
from server.engine.pace import Pace
from server.engine.residents import Budgets, InMemory, Load, Residents, main_memory_for

_CHORE_SECONDS = 0.2  # between two looks whether a chore can be done now


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
        self,
        inbox: Inbox,
        outbox: Outbox,
        device: torch.device,
        load: Load = load,
        offer: Offer | None = None,
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._device = device
        self._held: tuple[str, ...] = ()
        self.residents = Residents(device, self._tell_residents, load, self._let_go, offer=offer)
        self._limits: Limits | None = None
        self._chores = Chores(self.residents, outbox)
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
        self._forward = Forward(self.residents, self._last_words, self._let_go, self._begin_anew)
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
        return bool(self._rows) or any(self._may_begin(one) for one in self._waiting)

    @property
    def has_chores(self) -> bool:
        """Whether something waits to be done beside drawing."""
        return bool(self._chores)

    def tick(self) -> None:
        """Take in what was asked, begin what may begin, and take one step of what is next."""
        self._receive()
        self._inbox.busy()
        self._finish_what_lacked_room()
        self._waiting = [one for one in self._waiting if self._inbox.is_wanted(one.message.draw)]
        self._rows = [row for row in self._rows if self._inbox.is_wanted(row.draw)]
        self._chores.do({row.message.model.id for row in self._rows})
        self._begin_what_may()
        self.residents.expire({row.message.model.id for row in self._rows})
        if self._rows:
            self._step()
        for row in [row for row in self._rows if row.trajectory.is_done]:
            self._rows.remove(row)
            self._finishing.finish(row)

    def _receive(self) -> None:
        if not self.has_work:
            self._pace.settle()
            self._inbox.idle()
            self._inbox.wait(_CHORE_SECONDS if self._chores else self.residents.expire())
        self._keep_limits()
        for chore in self._inbox.take_chores():
            self._chores.add(chore)
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
            [one for one in self._waiting if self._may_begin(one)],
            holds=self._holds,
            is_busy=bool(self._rows),
            now=time.monotonic(),
        )
        if self._chores.wants_quiet:
            chosen = []
        self._tell_held()
        for one in chosen:
            self._waiting.remove(one)
            if one.index == 0:
                self._outbox.put(Taken(draw=one.message.draw))
            begin = functools.partial(self._begin, one)
            self._last_words.guarded(one.message, one.index, begin)

    def _may_begin(self, one: Waiting) -> bool:
        """Whether all of it has come, and it would fit beside what others were lent."""
        return one.is_ready and not self._is_held(one)

    def _holds(self, one: Waiting) -> bool:
        return self.residents.holds(one.message.model, one.message.request.profile)

    def _is_held(self, one: Waiting) -> bool:
        if not self.residents.memory.promised_bytes:
            return False
        pixels = one.message.request.width * one.message.request.height
        return not self.residents.could_hold(
            one.message.model, pixels=pixels, profile=one.message.request.profile
        )

    def _keep_limits(self) -> None:
        """Have the budgets that the server wants."""
        limits = self._inbox.limits
        if limits is None or limits is self._limits:
            return
        self._limits = limits
        main = limits.main_bytes
        self.residents.use_budgets(
            Budgets(
                device_bytes=limits.device_bytes,
                main_bytes=main_memory_for(self._device) if main is None else main,
                keep_alive_seconds=limits.keep_alive_seconds,
            )
        )
        self.residents.tell()  # how much is free, before anything is loaded

    def _tell_residents(self, now: InMemory) -> None:
        self._outbox.put(
            ResidentsMessage(
                models=now.models,
                loading=now.loading,
                beside=now.beside,
                held=self._held,
                free_bytes=now.free_bytes,
                lent_bytes=now.lent_bytes,
            )
        )

    def _tell_held(self) -> None:
        """Let the server know whose pictures wait for what was lent."""
        held = {one.message.model.id for one in self._waiting if self._is_held(one)}
        if held != set(self._held):
            self._held = tuple(sorted(held))
            self.residents.tell()

    def _read_adapters(self) -> None:
        """Let the adapters of who waits be read elsewhere, if somebody else would wait for it."""
        for one in self._waiting:
            message = one.message
            if message.adapters and one.mix is None and self._rows:
                if not self.residents.holds(message.model, message.request.profile):
                    continue  # its loading will be longer
                family = self.residents.get(message.model, profile=message.request.profile).family
                read = functools.partial(self._shelves.mix, family, message.adapters)
                one.mix = self._finishing.read_adapters(read)

    def _begin(self, one: Waiting) -> None:
        asked, model = one.message.request, one.message.model
        pictures = one.pictures.result()  # first: what cannot be read needs no model
        pixels = asked.width * asked.height
        kept = self.residents.get(
            model, pixels=pixels, profile=asked.profile, is_short=one.is_short
        )
        family, plan = kept.family, kept.plan_for(asked.profile)
        use_threads_for(family.parameter_count)
        mix = one.mix.result() if one.mix else self._shelves.mix(family, one.message.adapters)
        trajectory = self.residents.with_room(
            kept,
            lambda: family.prepare(
                asked, family.encode(asked, mix), one.index, pictures, mix, plan=plan
            ),
            asked,
        )
        now = time.monotonic()
        row = Drawing(
            message=one.message,
            index=one.index,
            kept=kept,
            trajectory=trajectory,
            curve=self._curves.of(model, _shapes(trajectory)),
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
            shapes = _shapes(first.trajectory)
            self._curves.learn(first.message.model, shapes, rows, seconds)

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
            self._finishing.decode_here(row, functools.partial(self._with_room, row))

    def _with_room(self, row: Drawing, decode: Callable[[], None]) -> None:
        """Decode, in tiles if there is no memory for more and the picture may give that up."""
        asked = row.message.request
        self.residents.have_here(row.kept)
        try:
            self.residents.with_room(row.kept, decode, asked)
        except GpuMemoryError:
            plan = row.trajectory.plan
            if asked.profile is not Profile.MEMORY or plan.decode == "tiled":
                raise
            row.trajectory.plan = plan.model_copy(
                update={"profile": Profile.MEMORY, "decode": "tiled"}
            )
            self.residents.with_room(row.kept, decode, asked)

    def _begin_anew(self, row: Drawing) -> bool:
        """Let a picture that does not fit in full begin again in fewer bits, if it may."""
        asked = row.message.request
        if asked.profile is not Profile.MEMORY or row.kept.plan.weights != "full":
            return False
        pictures = self._pictures(row.message)
        again = Waiting(row.message, row.index, row.arrived_at, pictures, is_short=True)
        self._waiting.append(again)
        return True


def _shapes(trajectory: Trajectory) -> str:
    """Return what a row's time depends on, beside the model and the device."""
    weights = trajectory.plan.weights
    return f"{trajectory.bucket}" if weights == "full" else f"{trajectory.bucket} {weights}"


def _no_bars() -> None:
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
