"""A picture in the making as OpenAI's stream events."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from fastapi.sse import format_sse_event

from server.api.openai_errors import error_body
from server.api.openai_form import EventKind, ImagesForm, quality_of
from server.api.openai_views import NO_USAGE, CompletedImage, PartialImage
from server.api.problems import STATUS
from server.domain.errors import AppError, GenerationFailedError, QueueFullError
from server.domain.images import ImageFormat
from server.domain.keys import Caller
from server.services.services import Services
from server.services.views import JobView, PreviewView, ProgressView

_PARTIAL: dict[EventKind, Literal["image_generation.partial_image", "image_edit.partial_image"]] = {
    "image_generation": "image_generation.partial_image",
    "image_edit": "image_edit.partial_image",
}
_COMPLETED: dict[EventKind, Literal["image_generation.completed", "image_edit.completed"]] = {
    "image_generation": "image_generation.completed",
    "image_edit": "image_edit.completed",
}
_BY_CODE = {kind.code: kind for kind in STATUS if kind is not QueueFullError}


def job_error(job: JobView) -> AppError:
    """Return why `job` gave no picture, as the error it was."""
    if job.error is None:
        return GenerationFailedError("the job was cancelled")
    return _BY_CODE.get(job.error.code, GenerationFailedError)(job.error.detail)


async def openai_events(
    services: Services, caller: Caller, form: ImagesForm, job: JobView
) -> AsyncIterator[bytes]:
    """Yield up to `partial_images` unfinished pictures, then the finished one or an error."""
    partials = _Partials(form.partial_images or 0)
    async with aclosing(services.streams.subscribe(caller, job_id=job.id)) as events:
        async for event in events:
            if isinstance(event.data, ProgressView):
                partials.progress = event.data.step / max(1, event.data.total_steps)
            elif isinstance(event.data, PreviewView) and partials.is_due():
                yield _sent(_partial(form, job, event.data, partials.sent))
                partials.sent += 1
    ended = await services.generation.job(job.id, caller)
    if ended.error is None and ended.images:
        yield _sent(await _completed(services, caller, form, ended))
    else:
        body = error_body(job_error(ended)).model_dump_json()
        yield format_sse_event(event="error", data_str=body)


@dataclass(slots=True)
class _Partials:
    """Spreads the wanted number of unfinished pictures over the steps."""

    wanted: int
    sent: int = 0
    progress: float = 0.0

    def is_due(self) -> bool:
        return self.sent < self.wanted and self.progress >= (self.sent + 1) / (self.wanted + 1)


def _partial(form: ImagesForm, job: JobView, preview: PreviewView, index: int) -> PartialImage:
    return PartialImage(
        type=_PARTIAL[form.events],
        b64_json=preview.data,
        background="opaque",
        created_at=int(job.created_at.timestamp()),
        output_format=ImageFormat.JPEG,  # what these bytes are
        partial_image_index=index,
        quality=quality_of(form),
        size=f"{job.resolved.width}x{job.resolved.height}",
    )


async def _completed(
    services: Services, caller: Caller, form: ImagesForm, job: JobView
) -> CompletedImage:
    file = await services.gallery.file(job.images[0].id, caller)
    return CompletedImage(
        type=_COMPLETED[form.events],
        b64_json=base64.b64encode(file.data).decode(),
        background="opaque",
        created_at=int(job.created_at.timestamp()),
        output_format=job.resolved.format,
        quality=quality_of(form),
        safety_identifier=form.safety_identifier or form.user or None,
        size=f"{job.resolved.width}x{job.resolved.height}",
        usage=NO_USAGE,
    )


def _sent(event: PartialImage | CompletedImage) -> bytes:
    return format_sse_event(event=event.type, data_str=event.model_dump_json(exclude_none=True))
