"""What only memory knows about unfinished jobs: steps, previews, running tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field

from server.domain.gallery import StoredImage
from server.domain.images import ResolvedRequest
from server.domain.jobs import Job
from server.domain.routes import Member, Tried, next_member
from server.domain.work import denoising_steps


@dataclass(slots=True)
class Live:
    """The newest of one picture in the making; `version` grows with every change."""

    step: int
    total_steps: int
    preview: bytes | None = None
    version: int = 0
    preview_version: int = 0


@dataclass(slots=True)
class ActiveJob:
    """A job that has not ended, as the dispatcher holds it."""

    job: Job
    images: dict[int, StoredImage]  # pictures that are kept, by index
    tried: list[Tried] = field(default_factory=list)  # by number
    live: dict[int, Live] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    deadline: asyncio.TimerHandle | None = None

    @property
    def stored(self) -> Set[int]:
        """Indexes of pictures that are kept."""
        return self.images.keys()

    def member(self, index: int) -> Member | None:
        """Return who is to draw picture `index`; None: everybody was asked."""
        return next_member(self.job.way, self.tried, index)

    def resolved(self, member: Member) -> ResolvedRequest:
        """Return the request as `member` draws it."""
        return member.resolved or self.job.resolved

    def flops_per_picture(self, member: Member) -> float:
        """Work of one picture there."""
        return member.flops / self.job.resolved.num_images

    @property
    def steps_per_picture(self) -> int:
        """Denoising steps of one picture."""
        return denoising_steps(self.job.resolved)

    @property
    def step(self) -> int:
        """Denoising steps done over all pictures."""
        done = sum(self.done(index) for index in range(self.job.resolved.num_images))
        return int(done * self.steps_per_picture)

    def done(self, index: int) -> float:
        """Return how much of picture `index` is drawn, 0 to 1."""
        if index in self.stored:
            return 1.0
        live = self.live.get(index)
        # By share, since a second-order scheduler counts two steps for one.
        return 0.0 if live is None else live.step / live.total_steps

    def missing(self) -> Iterator[int]:
        """Yield the indexes of pictures that are not kept yet."""
        return (i for i in range(self.job.resolved.num_images) if i not in self.stored)


class ActiveJobs:
    """All unfinished jobs by id, and a signal to everyone who watches them."""

    def __init__(self) -> None:
        self._jobs: dict[str, ActiveJob] = {}
        self._version = 0
        self._watchers: dict[asyncio.Event, str] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[ActiveJob]:
        return iter(tuple(self._jobs.values()))

    @property
    def version(self) -> int:
        """Number of the newest change."""
        return self._version

    @property
    def listeners(self) -> int:
        """Number of watchers now."""
        return len(self._watchers)

    def add(
        self, job: Job, images: Iterable[StoredImage] = (), tried: Iterable[Tried] = ()
    ) -> ActiveJob:
        """Take in an unfinished job, what is kept of it already and who was asked."""
        kept = {image.index: image for image in images}
        self._jobs[job.id] = ActiveJob(job, kept, list(tried))
        return self._jobs[job.id]

    def get(self, job_id: str) -> ActiveJob | None:
        """Return the job, or None when it has ended or never was."""
        return self._jobs.get(job_id)

    def end(self, job_id: str) -> None:
        """Let go of a job that has ended."""
        gone = self._jobs.pop(job_id, None)
        if gone is None:
            return
        if gone.deadline is not None:
            gone.deadline.cancel()
        gone.ended.set()
        self.notify(gone.job.owner)

    def progress(self, active: ActiveJob, index: int, step: int, total_steps: int) -> None:
        """Note a step of picture `index`."""
        live = active.live.setdefault(index, Live(0, total_steps))
        live.step, live.total_steps = step, total_steps
        live.version = self._version = self._version + 1
        self.notify(active.job.owner)

    def preview(self, active: ActiveJob, index: int, data: bytes) -> None:
        """Note the newest preview of picture `index`."""
        live = active.live.setdefault(index, Live(0, active.steps_per_picture))
        live.preview = data
        live.preview_version = self._version = self._version + 1
        self.notify(active.job.owner)

    def watch(self, owner: str) -> asyncio.Event:
        """Return an event that is set at every change of `owner`'s jobs; give it to `unwatch`."""
        event = asyncio.Event()
        self._watchers[event] = owner
        return event

    def unwatch(self, event: asyncio.Event) -> None:
        """Stop signalling `event`."""
        self._watchers.pop(event, None)

    def notify(self, owner: str) -> None:
        """Wake everyone who watches `owner`."""
        for event, watched in self._watchers.items():
            if watched == owner:
                event.set()

    def notify_all(self) -> None:
        """Wake every watcher."""
        for event in self._watchers:
            event.set()
