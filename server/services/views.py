"""What the outside sees. No defaults: generated clients find every field present."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from server.domain.adapters import StoredAdapter
from server.domain.gallery import StoredImage, Upload
from server.domain.images import (
    Fallback,
    Frozen,
    ImageFormat,
    ImageRequest,
    Priority,
    ResolvedRequest,
)
from server.domain.jobs import Job, JobError, JobState
from server.domain.lending import Loan
from server.domain.models import ModelInfo, ModelState, RemoteTerms
from server.domain.money import Money, total
from server.domain.recipes import Recipe
from server.domain.routes import Tried
from server.domain.tariff import Tariff
from server.domain.work import denoising_steps
from server.services.route_views import MemberView, TriedView, route_view, tried_view


class ImageView(Frozen):
    """A finished picture; `url` and `thumbnail_url` are paths on this server.

    `cost` is null where the picture has no price or nobody says it.
    """

    id: str
    job_id: str
    index: int
    width: int
    height: int
    seed: int
    prompt: str
    model: str
    served_by: str
    duration_seconds: float
    format: ImageFormat
    size_bytes: int
    sha256: str
    recipe: Recipe
    cost: Money | None
    created_at: datetime
    url: str
    thumbnail_url: str


class JobView(Frozen):
    """A job with its present: place 1 is next, None once it runs; eta_seconds until it ends.

    `waiting_for` says what must end before it can begin, such as a training that holds the memory.

    `route` is who may draw it, in order, and why others may not; `tried` what came of asking.
    `cost` is of its pictures so far; null where one of them has none. `credits` is the same for
    people, where this server counts in credits.
    """

    id: str
    state: JobState
    priority: Priority
    request: ImageRequest
    resolved: ResolvedRequest
    place: int | None
    step: int
    total_steps: int
    eta_seconds: float | None
    waiting_for: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None
    attempt: int
    images: tuple[ImageView, ...]
    cost: Money | None
    credits: int | None
    error: JobError | None
    fallback: Fallback
    route: tuple[MemberView, ...]
    tried: tuple[TriedView, ...]


class EstimateView(Frozen):
    """What a request would take; seconds are None until this model was measured here.

    `served_by` is `local` or a connection's name; `route` says who comes after that.
    `cost` is null where it is not known; `cost_basis` says what it rests on, or why it is not.
    """

    model: str
    served_by: str
    fallback: Fallback
    route: tuple[MemberView, ...]
    seconds: float | None
    waiting_seconds: float | None
    place: int
    cost: Money | None
    cost_basis: str
    credits: int | None


class UploadView(Frozen):
    """A source picture; pass its id as `image`."""

    id: str
    width: int
    height: int
    size_bytes: int
    created_at: datetime
    url: str


class AdapterView(StoredAdapter):
    """An adapter to draw with; name its id in `adapters`, or as `<lora:id:weight>` in a prompt."""


class WorkerView(Frozen):
    """A worker process: one a device. `epoch` counts its starts.

    `waiting_models` wait in main memory beside the device. `held_models` have pictures that wait
    for `lent_bytes`, which a training holds, to come back.
    """

    id: str
    device: str
    state: str
    pid: int | None
    epoch: int
    loaded_models: tuple[str, ...]
    loading_model: str | None
    waiting_models: tuple[str, ...]
    held_models: tuple[str, ...]
    free_bytes: int | None
    lent_bytes: int
    loans: tuple[Loan, ...]
    in_flight: int
    last_error: str | None


class PullView(Frozen):
    """How far the fetching of a model's files is; bytes."""

    state: Literal["running", "failed"]
    done_bytes: int
    total_bytes: int | None
    error: str | None


class ModelView(ModelInfo):
    """A registered model: what it declares, and whether it can draw now."""

    remote: RemoteTerms | None  # once more without a default, so that clients find it present
    state: ModelState
    reason: str | None
    loaded: bool
    is_default: bool
    pull: PullView | None


class StateView(Frozen):
    """One change of a job, as streamed and replayed."""

    id: int
    job_id: str
    type: Literal["queued", "running", "requeued", "picture", "succeeded", "failed", "cancelled"]
    at: datetime
    image: ImageView | None
    error: JobError | None


class ProgressView(Frozen):
    """The newest step of one picture of a job."""

    job_id: str
    index: int
    step: int
    total_steps: int
    eta_seconds: float | None


class PreviewView(Frozen):
    """A small look at an unfinished picture; `data` is base64."""

    job_id: str
    index: int
    media_type: Literal["image/jpeg"]
    data: str


def image_view(image: StoredImage) -> ImageView:
    """Return `image` without its owner, with its addresses."""
    base = f"/api/v1/images/{image.id}"
    fields = image.model_dump(exclude={"owner", "recipe", "cost"})
    return ImageView(
        **fields,
        recipe=image.recipe,
        cost=image.cost,
        url=f"{base}/file",
        thumbnail_url=f"{base}/thumbnail?size=512",
    )


def upload_view(upload: Upload) -> UploadView:
    """Return `upload` without its owner."""
    return UploadView(
        **upload.model_dump(exclude={"owner", "sha256"}), url=f"/api/v1/uploads/{upload.id}/file"
    )


def job_view(
    job: Job,
    images: tuple[StoredImage, ...],
    tried: Sequence[Tried] = (),
    *,
    tariff: Tariff,
    place: int | None = None,
    step: int | None = None,
    eta_seconds: float | None = None,
    waiting_for: str | None = None,
) -> JobView:
    """Return `job` with what only memory knows: place, step, time left.

    Args:
        job: the row.
        images: its pictures by index.
        tried: who was asked.
        tariff: what a credit is.
        place: 1 for the next one.
        step: denoising steps done over all pictures; None: those of finished pictures.
        eta_seconds: seconds until the job ends.
        waiting_for: what must end before it can begin.
    """
    per_image = denoising_steps(job.resolved)
    cost = _cost(job, images)
    return JobView(
        **{name: getattr(job, name) for name in _COPIED},
        place=place,
        step=len(images) * per_image if step is None else step,
        total_steps=job.resolved.num_images * per_image,
        eta_seconds=eta_seconds,
        waiting_for=waiting_for,
        images=tuple(map(image_view, images)),
        cost=cost,
        credits=tariff.credits(cost, max(1, len(images))),
        fallback=job.way.fallback,
        route=route_view(job.way, job.resolved),
        tried=tried_view(tried),
    )


def _cost(job: Job, images: tuple[StoredImage, ...]) -> Money | None:
    """Return what the job's pictures cost, deleted ones too."""
    kept = total([image.cost for image in images])
    # A picture that was on its way when the job was cancelled came after the job's own sum.
    if job.cost is None or (kept is not None and kept.micros > job.cost.micros):
        return kept
    return job.cost


_COPIED = (
    "id",
    "state",
    "priority",
    "request",
    "resolved",
    "created_at",
    "started_at",
    "finished_at",
    "deadline_at",
    "attempt",
    "error",
)


def model_view(
    info: ModelInfo,
    state: ModelState,
    reason: str | None,
    *,
    loaded: bool,
    is_default: bool,
    pull: PullView | None,
) -> ModelView:
    """Return a model's declaration with its present state."""
    return ModelView(
        **{name: getattr(info, name) for name in ModelInfo.model_fields},
        state=state,
        reason=reason,
        loaded=loaded,
        is_default=is_default,
        pull=pull,
    )
